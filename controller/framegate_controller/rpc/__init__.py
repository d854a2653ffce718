"""gRPC services: thin. `wire` and `peer` are the only readers of requests' envelopes and of who
sent them.
"""
