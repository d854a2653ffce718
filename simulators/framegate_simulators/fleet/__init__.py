"""Thousands of forged machines from few processes, against a controller that is real: gRPC, TLS,
evidence and all. What only hardware proves they do not prove; what a controller costs, they tell.
"""
