"""The gateway: admits sealed frames from devices that are trusted now, inspects them, and signs
what it found.
"""

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["framegate_host"]
