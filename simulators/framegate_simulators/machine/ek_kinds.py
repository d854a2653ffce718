"""Kinds of EK that simulated machines are delivered with, each with the NV index of its
certificate.
"""

from typing import Final

EK_KINDS: Final = {"p256": 0x01C0000A, "p384": 0x01C00016, "rsa2048": 0x01C00002}
