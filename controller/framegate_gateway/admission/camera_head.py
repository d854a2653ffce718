"""The head a camera signs over the frames of an ended session, and the checks it passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.record.merkle import packed_tree
from framegate.wire import LABEL_HEAD, FrameHead

MAX_SESSION_FRAMES: Final = 32_768
"""Frames one head may cover: 120 s at 240 frames a second and some."""


@dataclass(frozen=True, slots=True)
class TakenHead:
    """A camera's head over an ended session, after its checks; `tree` is the leaf hashes, 32 bytes
    each.
    """

    session: bytes
    head: bytes
    signature: bytes
    tree: bytes


def verify_camera_head(
    head_bytes: bytes,
    signature: bytes,
    tree: bytes,
    device: str,
    key: ec.EllipticCurvePublicKey,
) -> TakenHead:
    """A head that the camera `device` signed with `key` over one of its sessions.

    1. it parses and names this camera;
    2. as many leaf hashes as it counts, at most `MAX_SESSION_FRAMES`;
    3. the camera's key signed it;
    4. the leaves have its root. Raises Malformed or Refused (FRAME_HEAD).
    """
    head = FrameHead.parse(head_bytes)
    if head.device != device:  # 1
        raise Refused.of(Reason.FRAME_HEAD, f"a head of {device}", head.device)
    if head.count > MAX_SESSION_FRAMES or len(tree) != 32 * head.count:  # 2
        raise Refused.of(
            Reason.FRAME_HEAD,
            f"{head.count} leaf hashes, at most {MAX_SESSION_FRAMES}",
            len(tree) // 32,
        )
    try:  # 3
        key.verify(signature, LABEL_HEAD + head_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Refused.of(
            Reason.FRAME_HEAD, "the camera's signature over its frames", "another"
        ) from error
    if packed_tree(tree).root != head.root:  # 4
        raise Refused.of(Reason.FRAME_HEAD, "leaf hashes of the signed root", "others")
    return TakenHead(head.session, head_bytes, signature, tree)
