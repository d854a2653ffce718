"""What the gateway listens on.

Cameras' conversations by gRPC and MQTT, the Open Inference Protocol, operators.
"""
