"""The controller: verifier, registrar and certificate authority of a fleet. It never sees a frame
or a frame key.
"""

from typing import Final

VERSION: Final = "0.1.0"
