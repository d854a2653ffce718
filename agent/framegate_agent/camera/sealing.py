"""What is masked goes out of a payload before it is sealed, by its kind: pixels of a picture are
blanked here, anything else by the code that its kind brings along.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import NamedTuple, cast

from framegate.errors import Malformed, Reason
from framegate.payload.contract import ExaminedPayload, SealingModule
from framegate.payload.kinds import Kinds, regions_of
from framegate.wire import ENCODING_JPEG, Captured
from framegate_agent.camera.masking import Masker
from framegate_agent.camera.pictures import encoded, picture_of


class Masked(NamedTuple):
    """A payload under the masks that are in force, and its record."""

    head: Captured
    data: bytes


class Sealer:
    """Made before the child is closed: what each of `kinds` needs is loaded here."""

    def __init__(self, masker: Masker, kinds: Kinds) -> None:
        self._masker, self._kinds = masker, kinds
        self._of: dict[str, SealingModule] = {
            kind.name: cast(SealingModule, import_module(f"{kind.module}.sealing"))
            for kind in kinds
            if isinstance(kind, ExaminedPayload)
        }

    def masked(self, head: Captured, data: bytes) -> Masked:
        """The payload as it may leave.

        Without masks it passes as it came: its gateway says what it is worth. With masks it is
        read, and what it is has to be what its encoding says; a kind that nobody here knows, or
        that the masks do not name anything of, does not leave (N202). Raises Malformed or Refused.
        """
        if not self._masker.active:
            return Masked(replace(head, mask_version=0, mask_sha256=b""), data)
        kind = self._kinds.of(head.encoding)
        if kind is None:
            raise Malformed.of(
                Reason.PAYLOAD, "a payload whose masks can be applied", f"encoding {head.encoding}"
            )
        if kind.name not in self._of:
            return self._blanked(head, data)
        masks = self._masker.masks
        channels = [str(name) for name in regions_of(kind, masks.regions)]
        less = self._of[kind.name].filtered(data, channels)
        under = replace(head, mask_version=masks.version, mask_sha256=masks.sha256, size=len(less))
        return Masked(under, less)

    def _blanked(self, head: Captured, data: bytes) -> Masked:
        grey = picture_of(head, data)
        version, digest = self._masker.apply(grey)
        jpeg = encoded(grey)
        h, w = grey.shape
        under = replace(
            head,
            encoding=ENCODING_JPEG,
            width=w,
            height=h,
            mask_version=version,
            mask_sha256=digest,
            size=len(jpeg),
        )
        return Masked(under, jpeg)
