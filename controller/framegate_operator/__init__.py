"""The operator's commands."""

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["framegate_host"]
