"""What admission hands on: a frame that opened, one that passed every check, and the grant it is
judged by.
"""

from __future__ import annotations

from dataclasses import dataclass

from framegate.signed.mask import Regions
from framegate.wire import FrameMetadata
from framegate_gateway.trust.feed import Standing


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What of a grant its frames are judged and receipted by; digests in hex."""

    policy: str
    grant_sha256: str
    mask_version: int
    mask_sha256: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class OpenedFrame:
    """A frame that a session's key opened; made by `CameraLink.open_frame` only. What it says of
    itself is its camera's word; nothing of its image was read.
    """

    metadata: FrameMetadata
    metadata_bytes: bytes
    image: bytes
    counter: int
    missing: int
    kid: int
    source: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """A frame that passed every check: its authenticated metadata, encoded image, counter, and the
    sender's standing; `masks` are those of its kind of payload.
    """

    metadata: FrameMetadata
    metadata_bytes: bytes
    image: bytes
    image_sha256: bytes
    counter: int
    missing: int
    standing: Standing
    grant: GrantFacts
    masks: Regions
    policy: str = ""
