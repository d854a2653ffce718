"""Parts as the inference knows them: what a frame of a part type is compared with, and how
strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from framegate.errors import Reason, Refused, Unavailable
from framegate.signed.inspected import (
    MAX_MIN_SIZE_SHARE,
    Inspected,
    InspectedOf,
    Polygon,
    area_of,
    inspected_share,
    less_tolerant,
    require_inspected,
)
from framegate.wire import sha256


@dataclass(frozen=True, slots=True)
class Part:
    """One part type: encoded `goldens`; `thresholds` by class name over the model's own; boxes
    whose longer side is below `min_size_px`, or whose centre lies in a region of `ignore`
    (fractions of width and height), are no defects. `looks` are limits of second looks, as signed,
    `outline` what in the golden images is the part, empty where nobody said; `tolerant_percent` on
    how much of the picture they may tolerate more than `inspected.LOOSE` grey levels.
    """

    part_type: str
    goldens: tuple[bytes, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    min_size_px: float = 0.0
    ignore: tuple[Polygon, ...] = ()
    version: int = 0
    looks: tuple[Mapping[str, Any], ...] = ()
    outline: tuple[Polygon, ...] = ()
    tolerant_percent: int = 0

    @property
    def rules(self) -> dict[str, Any]:
        """What the inference child is told with each frame."""
        return {
            "thresholds": dict(self.thresholds),
            "min_size_px": self.min_size_px,
            "ignore": self.ignore,
            "looks": self.looks,
            "tolerant_percent": self.tolerant_percent,
        }


class Parts(Protocol):
    """Where parts come from."""

    def __contains__(self, part_type: str) -> bool: ...

    def key(self, part_type: str) -> str:
        """What names a part's golden images now; another key means other images. KeyError for an
        unknown part.
        """

    def get(self, part_type: str) -> Part:
        """The part with its images. KeyError for an unknown part."""


PICTURES: Final = frozenset({".png", ".jpg", ".jpeg"})


class GoldenImages:
    """Parts from folders: `TYPE.png`, `TYPE.jpg`, or DeepPCB's `TYPE_temp.jpg`; of payloads that
    are no pictures their golden windows, by their kind's ending. Read when first asked for.
    """

    def __init__(
        self,
        folders: tuple[Path, ...],
        signed: Mapping[Path, bytes] | None = None,
        endings: frozenset[str] = PICTURES,
    ) -> None:
        """With `signed`, file to SHA-256, only those files count, and only with those bytes;
        `endings` are those of files that count.
        """
        self._paths: dict[str, Path] = {}
        self._signed = signed
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if (
                    path.suffix.lower() in endings
                    and not path.stem.endswith("_test")
                    and (signed is None or path in signed)
                ):
                    self._paths[path.stem.removesuffix("_temp")] = path

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def names(self) -> frozenset[str]:
        """Every part type there is an image of."""
        return frozenset(self._paths)

    def __contains__(self, part_type: str) -> bool:
        return part_type in self._paths

    def key(self, part_type: str) -> str:
        """The file: an image that changes while the gateway runs is not taken up."""
        return str(self._paths[part_type])

    def get(self, part_type: str) -> Part:
        """The part, read from its file. KeyError for an unknown part type, Unavailable
        (PART_UNKNOWN) where the file is gone.
        """
        try:
            image = self._paths[part_type].read_bytes()
        except OSError as error:
            raise Unavailable.of(
                Reason.PART_UNKNOWN,
                f"the golden image {self._paths[part_type]}",
                error.strerror or error,
            ) from error
        if self._signed is not None and sha256(image) != self._signed[self._paths[part_type]]:
            raise Refused.of(
                Reason.PART,
                f"the golden image of {ascii(part_type)[:60]} as it was signed",
                "another",
                "somebody changed it; sign the folder again if that is right",
            )
        return Part(part_type, (image,))


def digest_of(goldens: tuple[bytes, ...]) -> tuple[str, ...]:
    """Hex SHA-256 of each golden image."""
    return tuple(sha256(g).hex() for g in goldens)


def left_to_inspect(
    head: Mapping[str, Any], rules: Mapping[str, Any], outline: tuple[Polygon, ...]
) -> Inspected:
    """How much of a frame's picture, and of the part's outline in it where it has one, masks and
    the part's rules leave to be inspected.

    `head` has the frame's masks, width and height. Raises Refused (INSPECTED_SHARE) where either is
    too little, or where what counts as a defect has to be too large for a picture of this size:
    each alone is refused where it is set, both together are met here.
    """
    what = "masks and a part's rules"
    tolerant = int(rules.get("tolerant_percent", 0))
    share = inspected_share(head["masks"], rules["ignore"])
    left = less_tolerant(Inspected(share, InspectedOf.PICTURE), tolerant)
    require_inspected(left.percent, Reason.INSPECTED_SHARE, what)
    if outline:
        area = area_of(outline)
        share = inspected_share(head["masks"], rules["ignore"], area=area)
        left = less_tolerant(Inspected(share, InspectedOf.OUTLINE), tolerant, area)
        require_inspected(left.percent, Reason.INSPECTED_SHARE, what, left.of.words)
    largest = MAX_MIN_SIZE_SHARE * min(head["width"], head["height"])
    if rules["min_size_px"] > largest:
        expected = f"a smallest size of at most {largest:.0f} px in a picture of this size"
        hint = "framegate part add, with a smaller --min-size"
        raise Refused.of(Reason.INSPECTED_SHARE, expected, rules["min_size_px"], hint)
    return left


def least_left(said: Inspected, part_percent: int | None) -> Inspected:
    """`said` by the part's signed statement, or what is left of the part as its golden image shows
    it, `part_percent`, where that is less or no outline was signed: a signed outline that is larger
    than the part, or lies beside it, makes nothing look better.
    """
    if part_percent is None or (said.of is InspectedOf.OUTLINE and said.percent <= part_percent):
        return said
    return Inspected(part_percent, InspectedOf.FOREGROUND)
