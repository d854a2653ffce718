"""The kinds of payloads that a process knows: Framegate's own, and those it was told of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from framegate.errors import Malformed, Reason, Refused
from framegate.payload.contract import (
    FIRST_OWN,
    MOST_UNCERTAIN_MS,
    POINTS,
    ExaminedPayload,
    Payload,
)
from framegate.payload.picture import PICTURE
from framegate.payload.series.kind import SERIES
from framegate.signed.mask import MaskRegions, Regions
from framegate.wire import FrameMetadata

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_ENDING: Final = re.compile(r"[a-z0-9]{1,16}")


class Kinds:
    """Payloads by encoding and by name. `further` are examined kinds that are not Framegate's
    own. Raises Malformed (PAYLOAD) for one that has no name, takes another's number or name, or a
    number below `FIRST_OWN`.
    """

    def __init__(self, further: Sequence[ExaminedPayload] = ()) -> None:
        self.further = tuple(further)
        self._by_encoding: dict[int, Payload] = {}
        self._by_name: dict[str, Payload] = {}
        own: list[Payload] = [PICTURE, SERIES]
        for kind in own:
            self._add(kind, own=True)
        for kind in further:
            self._add(kind, own=False)

    def _add(self, kind: Payload, *, own: bool) -> None:
        numbers = set(kind.encodings)
        if (
            not _NAME.fullmatch(kind.name)
            or not numbers
            or any(not own and not FIRST_OWN <= n < 256 for n in numbers)
            or any(not _ENDING.fullmatch(ending) for ending in kind.encodings.values())
            or kind.name in self._by_name
            or numbers & set(self._by_encoding)
        ):
            raise Malformed.of(
                Reason.PAYLOAD,
                f"a kind with a name and encodings of its own, from {FIRST_OWN} to 255",
                f"{ascii(kind.name)[:40]} with {sorted(numbers)[:8]}",
            )
        self._by_name[kind.name] = kind
        self._by_encoding |= dict.fromkeys(numbers, kind)

    def __iter__(self) -> Iterator[Payload]:
        return iter(self._by_name.values())

    def claimed(self, metadata: FrameMetadata, now_ms: int) -> Payload:
        """The kind that a frame claims to be of.

        1. its encoding is of a kind that is known here;
        2. its sides are within that kind's limits (`Payload.require_claim`);
        3. it was captured as lately as its kind wants it: what was recorded yesterday is not
           measured now (N200). How uncertain a camera is of its clock counts up to
           `MOST_UNCERTAIN_MS`.

        Raises Refused (PAYLOAD, PAYLOAD_STALE), or what the kind raises.
        """
        kind = self.of(metadata.encoding)
        if kind is None:  # 1
            raise Refused.of(
                Reason.PAYLOAD,
                f"a payload of {', '.join(self._by_name)}",
                f"encoding {metadata.encoding}",
                "a further kind is a setting: --payload PACKAGE",
            )
        kind.require_claim(metadata.encoding, metadata.width, metadata.height)  # 2
        age = now_ms - metadata.captured_at_ms
        slack = min(metadata.uncertainty_ms, MOST_UNCERTAIN_MS)
        if kind.most_age_ms and abs(age) > kind.most_age_ms + slack:  # 3
            raise Refused.of(
                Reason.PAYLOAD_STALE,
                f"a {kind.name} of the last {kind.most_age_ms / 1000:g} s",
                f"one captured {age / 1000:.1f} s ago",
                "look at the sensor's clock; what was recorded before is not measured now",
            )
        return kind

    def of(self, encoding: int) -> Payload | None:
        """The kind whose frames have this encoding; None where nobody here knows it."""
        return self._by_encoding.get(encoding)

    def name_of(self, encoding: int) -> str:
        """Its name, empty where nobody here knows it."""
        kind = self.of(encoding)
        return "" if kind is None else kind.name

    def ending_of(self, encoding: int) -> str:
        """How a file of it is called at its end."""
        kind = self.of(encoding)
        return "bin" if kind is None else kind.encodings[encoding]

    def examined(self, name: str) -> ExaminedPayload:
        """The examined kind of this name. Raises Malformed (MODEL): a recipe names no other."""
        kind = self._by_name.get(name)
        if not isinstance(kind, ExaminedPayload):
            known = [k.name for k in self if isinstance(k, ExaminedPayload)]
            raise Malformed.of(
                Reason.MODEL,
                f"a recipe's payload out of {', '.join(known)}",
                ascii(name)[:60],
                'name its folder: payload = ["PACKAGE"]',
            )
        return kind


BUILT_IN: Final = Kinds()


def further_of(kind: Payload | None) -> list[str]:
    """The package of `kind`, where it is none of Framegate's own."""
    if not isinstance(kind, ExaminedPayload) or kind in list(BUILT_IN):
        return []
    return [kind.module]


def regions_of(kind: Payload, masks: MaskRegions) -> Regions:
    """What of masks is of this kind.

    Whoever blanks a piece of a camera's picture has not said that the same pixels may leave as
    something else (N202): where masks have polygons and name no channel, only pictures may be
    sealed. Raises Refused (MASK).
    """
    if kind.region == POINTS:
        return masks.polygons
    if masks.polygons and not masks.channels:
        raise Refused.of(
            Reason.MASK,
            f"masks that say what of a {kind.name} is masked",
            "masks of pictures alone",
            "name a channel in them too: framegate mask set",
        )
    return masks.channels
