"""framegate-segment: enforces a zone's segments where packets pass, by who is trusted now. It holds
CAP_NET_ADMIN and its own certificate, and nothing else of the fleet.
"""

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["framegate_host"]
