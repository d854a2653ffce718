"""The controller: verifier, registrar and certificate authority of a fleet. It never sees a frame
or a frame key.
"""

from typing import Final

import framegate_host  # before gRPC is loaded: it says who looks names up

__all__ = ["VERSION", "framegate_host"]
VERSION: Final = "0.1.0"
