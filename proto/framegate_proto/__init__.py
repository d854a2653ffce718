"""The wire contract: generated messages and services, and what every edge shares."""

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["framegate_host"]
