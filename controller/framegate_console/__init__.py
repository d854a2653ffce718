"""The web console: a client of the fleet that shows a signed-in person what they may see, in a
browser. It holds no key of the fleet, and does nothing that its user could not.
"""

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["framegate_host"]
