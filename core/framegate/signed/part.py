"""Parts: which golden images a part type is compared with, and how strictly, as the controller
signs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final

from cryptography import x509

from framegate.codec import MOST_WHOLE
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.looks.limits import later_looks, parse_limits
from framegate.signed.dsse import strict_json
from framegate.signed.inspected import (
    LOOSE,
    MAX_AT_LEAST,
    MAX_MIN_SIZE_PX,
    MAX_TOLERANT,
    MIN_AREA_CELLS,
    PICTURE,
    Area,
    Inspected,
    InspectedOf,
    Polygon,
    area_of,
    cells_of,
    inspected_share,
    less_tolerant,
    require_inspected,
)
from framegate.signed.mask import parse_regions
from framegate.signed.statement import Statement

MAX_GOLDENS: Final = 8
"""Golden images of one part: a frame is registered to each, which costs some 2 ms."""
MAX_GOLDEN_BYTES: Final = 2 * 1024 * 1024
"""One golden image: a PNG of 4 megapixels of circuit board has a quarter of that."""
MAX_CLASSES: Final = 256
MAX_OUTLINES: Final = 8
"""Polygons of a part's outline: one in more pieces is told by its largest."""
MIN_LESSON: Final = 5
"""Good frames that a golden image is learnt from: the middle of fewer is no better than one of
them, and one with a defect would show through.
"""
MAX_LESSON: Final = 64
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


@dataclass(frozen=True, slots=True)
class PartStatement(Statement):
    """One part as it is signed. `goldens`: hex SHA-256 of each golden image; `thresholds`: [{kind,
    at_least}]; `ignore`: [{points}] as masks have them; `source` and `approved_by` say where the
    images are from and who stands for them; `looks`: limits of second looks, as
    `framegate.looks.limits` has them; `outline`: [{points}], what in the golden image the part is,
    empty where nobody said; `tolerant_percent`: on how much of the picture golden images may
    tolerate more than `LOOSE` grey levels.
    """

    part_type: str
    version: int
    goldens: tuple[str, ...]
    thresholds: tuple[dict[str, Any], ...]
    min_size_px: float
    ignore: tuple[dict[str, Any], ...]
    source: str
    approved_by: tuple[str, ...]
    removed: int
    issued_at_ms: int
    looks: tuple[dict[str, Any], ...] = ()
    outline: tuple[dict[str, Any], ...] = ()
    tolerant_percent: int = 0

    TYPE: ClassVar[str] = "application/vnd.framegate.part+json"
    PURPOSE: ClassVar[Purpose] = Purpose.PART
    LATER: ClassVar[frozenset[str]] = frozenset({"looks", "outline", "tolerant_percent"})

    @property
    def later(self) -> tuple[str, ...]:
        """Names of its looks that this version does not know."""
        return later_looks(self.looks)


@dataclass(frozen=True, slots=True)
class LaterPart:
    """A part with members that this version does not know, by its id and version."""

    part_type: str
    version: int


def check_part(part: PartStatement) -> PartStatement:
    """The part, after its members were found in range: a printable id, 1 to `MAX_GOLDENS` digests,
    thresholds in (0, `MAX_AT_LEAST`], a smallest size of at most `MAX_MIN_SIZE_PX`, regions inside
    the image that leave `MIN_INSPECTED` percent of it and of the part's outline, which is no speck,
    also beside what golden images tolerate, on `MAX_TOLERANT` percent at most (N216), looks as
    `parse_limits` wants them. Raises Malformed or Refused (PART).
    """
    if not _PART.fullmatch(part.part_type) or ".." in part.part_type or part.version < 1:
        raise Malformed.of(
            Reason.PART,
            "a part id of letters, digits and . _ - /, at most 128",
            ascii(part.part_type[:80]),
        )
    if not (part.removed or 1 <= len(part.goldens) <= MAX_GOLDENS) or any(
        not re.fullmatch(r"[0-9a-f]{64}", g) for g in part.goldens
    ):
        raise Malformed.of(Reason.PART, f"1 to {MAX_GOLDENS} golden images", len(part.goldens))
    for row in part.thresholds:
        if (
            set(row) != {"kind", "at_least"}
            or type(row["at_least"]) not in {int, float}
            or not 0 < row["at_least"] <= MAX_AT_LEAST
        ):
            raise Malformed.of(
                Reason.PART,
                f"thresholds as {{kind, at_least above 0, at most {MAX_AT_LEAST}}}",
                ascii(row)[:80],
            )
    if len(part.thresholds) > MAX_CLASSES or not 0 <= part.min_size_px <= MAX_MIN_SIZE_PX:
        raise Malformed.of(
            Reason.PART,
            f"at most {MAX_CLASSES} thresholds, a smallest size of 0 to {MAX_MIN_SIZE_PX:.0f} px",
            f"{len(part.thresholds)}, {part.min_size_px}",
        )
    parse_limits(part.looks)
    ignored = parse_regions(part.ignore)
    require_inspected(inspected_share(ignored), Reason.PART, "a part's ignored regions")
    outline = outline_area(part.outline)
    if outline is not None:
        if cells_of(outline) < MIN_AREA_CELLS:
            expected = "an outline of half a percent of the picture or more"
            raise Malformed.of(Reason.PART, expected, f"{cells_of(outline)} cells")
        left = inspected_share(ignored, area=outline)
        what = "a part's ignored regions"
        require_inspected(left, Reason.PART, what, InspectedOf.OUTLINE.words)
    _check_tolerant(part)
    return part


def _check_tolerant(part: PartStatement) -> None:
    if not 0 <= part.tolerant_percent <= MAX_TOLERANT:
        raise Refused.of(
            Reason.PART,
            f"golden images that tolerate more than {LOOSE} grey levels on at most"
            f" {MAX_TOLERANT} % of the picture",
            f"{part.tolerant_percent} %",
            "learn them from frames that are alike, or learn a model: framegate-models learn",
        )
    left = left_by(part)
    what = "a part's ignored regions and what its golden images tolerate"
    require_inspected(left.percent, Reason.PART, what, left.of.words)


def outline_area(regions: Sequence[Any]) -> Area | None:
    """The cells of a part's outline; None where it has none. Raises Malformed (PART, MASK)."""
    if len(regions) > MAX_OUTLINES:
        raise Malformed.of(Reason.PART, f"an outline of {MAX_OUTLINES} polygons", len(regions))
    return area_of(parse_regions(regions)) if regions else None


def left_by(part: PartStatement, masks: Sequence[Polygon] = ()) -> Inspected:
    """How much of the part its rules, `masks` and what its golden images tolerate leave, of its
    outline where it has one.
    """
    ignored, outline = parse_regions(part.ignore), outline_area(part.outline)
    area, of = (PICTURE, InspectedOf.PICTURE) if outline is None else (outline, InspectedOf.OUTLINE)
    left = Inspected(inspected_share(ignored, masks, area=area), of)
    return less_tolerant(left, part.tolerant_percent, area)


def verify_part(
    data: bytes,
    root: x509.Certificate,
    now: datetime,
    *,
    known: Mapping[str, PartStatement] = MappingProxyType({}),
) -> PartStatement:
    """A part that inspection acts on.

    1. to 4. as `Statement.verify`; 5. its members are in range (`check_part`), beside limits of
       looks that a later version made: by those nobody here can inspect (`PartStatement.later`);
       6. its version is not below that of the part `known` under its id. Raises Malformed or
       Refused (PART).
    """
    part, _ = PartStatement.verify(data, (), root, now)
    own = tuple(row for row in part.looks if row.get("look") not in part.later)
    check_part(replace(part, looks=own))  # 5
    before = known.get(part.part_type)
    if before is not None and part.version < before.version:  # 6
        raise Refused.of(
            Reason.PART,
            f"version {before.version} of {part.part_type} or later",
            part.version,
            "restore the controller's registry",
        )
    return part


def later_part(data: bytes, root: x509.Certificate, now: datetime) -> LaterPart | None:
    """What a part is called that has members which this version does not know, and that is as truly
    signed as any (1. to 3. of `Statement.verify`). None where it has none of them, or no id and
    version: it is no part of a later version's. Raises Malformed or Refused.
    """
    payload, _ = PartStatement.signed_payload(data, (), root, now)
    body = strict_json(payload)
    if type(body) is not dict:
        return None
    of_later = set(body) - {member.name for member in fields(PartStatement)}
    part_type, version = body.get("part_type"), body.get("version")
    if not of_later or type(part_type) is not str or type(version) is not int:
        return None
    if not _PART.fullmatch(part_type) or ".." in part_type or not 1 <= version <= MOST_WHOLE:
        return None
    return LaterPart(part_type, version)
