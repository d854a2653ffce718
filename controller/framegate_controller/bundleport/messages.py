"""What the controller tells the process at its bundle's port: one record, behind its length."""

from __future__ import annotations

from typing import Final

from framegate.codec import Record, blob
from framegate.federation.bundle import MAX_BUNDLE_BYTES

LENGTH_BYTES: Final = 4
MAX_SETUP: Final = 256 * 1024
READY: Final = b"\x01"
"""What the process answers once it listens."""


class BundleSetup(Record):
    """All that the process holds: the endpoint's key and chain (PEM), and the document."""

    LABEL = "framegate/v1/bundle-setup"
    key: bytes = blob(8 * 1024)
    chain: bytes = blob(64 * 1024)
    document: bytes = blob(MAX_BUNDLE_BYTES)
