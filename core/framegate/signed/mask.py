"""Privacy masks: signed, versioned polygons that a camera blanks before it encodes, let alone
seals.

There is no unmasking: the pixels never leave the camera. Frames carry version and digest of the
masks they were taken under in their authenticated metadata; camera and gateway both refuse a frame
taken under older masks than the grant names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from cryptography import x509

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.signed.dsse import parse_envelope
from framegate.signed.inspected import Polygon, inspected_share, require_inspected
from framegate.signed.statement import Statement
from framegate.wire import sha256

MAX_REGIONS: Final = 32
"""Polygons of one camera: half a millisecond each is spent on every frame."""
MAX_POINTS: Final = 64
"""Corners of one polygon; a mask is a rough outline."""


@dataclass(frozen=True, slots=True)
class MaskStatement(Statement):
    """Masks as they are signed. `regions`: [{points: [[x, y], …]}], in fractions of width and
    height from the upper left corner.
    """

    camera: str
    version: int
    regions: tuple[dict[str, Any], ...]
    issued_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.masks+json"
    PURPOSE: ClassVar[Purpose] = Purpose.MASK


@dataclass(frozen=True, slots=True)
class Masks:
    """Verified masks of one camera; `sha256` is the digest of the signed payload, `version` counts
    up from 1. Made by `verify_masks`. What they leave of the picture is `MIN_INSPECTED` or more.
    """

    version: int
    sha256: bytes
    polygons: tuple[Polygon, ...]


def parse_regions(regions: Sequence[Any]) -> tuple[Polygon, ...]:
    """Polygons of 3 to `MAX_POINTS` corners inside the image. Raises Malformed (MASK)."""
    if len(regions) > MAX_REGIONS:
        raise Malformed.of(Reason.MASK, f"at most {MAX_REGIONS} regions", len(regions))
    polygons: list[Polygon] = []
    for number, region in enumerate(regions, start=1):
        points = (
            region.get("points") if type(region) is dict and set(region) == {"points"} else None
        )
        if type(points) is not list or not 3 <= len(points) <= MAX_POINTS:
            raise Malformed.of(
                Reason.MASK,
                f"region {number} as {{points: 3 to {MAX_POINTS} corners}}",
                ascii(region)[:80],
            )
        for point in points:
            good = (
                type(point) is list
                and len(point) == 2
                and all(type(v) in {int, float} and 0 <= v <= 1 for v in point)
            )
            if not good:
                raise Malformed.of(
                    Reason.MASK,
                    f"corners of region {number} as [x, y], each a fraction from 0 to 1",
                    ascii(point)[:80],
                )
        polygons.append(tuple((float(x), float(y)) for x, y in points))
    return tuple(polygons)


def check_masks(regions: Sequence[Any]) -> tuple[Polygon, ...]:
    """The polygons of masks that may be set: `parse_regions`, and they leave `MIN_INSPECTED`
    percent of the picture. Raises Malformed or Refused (MASK).
    """
    polygons = parse_regions(regions)
    require_inspected(inspected_share(polygons), Reason.MASK, "masks")
    return polygons


def verify_masks(
    data: bytes,
    camera: str,
    held_version: int,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> Masks:
    """Masks that `camera` may take frames under.

    1. to 4. as `Statement.verify`; 5. they are this camera's; 6. their version is at least
       `held_version`, the highest this camera has ever held (0: none); 7. every region is a polygon
       inside the image; 8. together they leave `MIN_INSPECTED` percent of it. Raises Malformed or
       Refused (MASK).
    """
    statement, _ = MaskStatement.verify(data, intermediates, root, now)
    if statement.camera != camera:  # 5
        raise Refused.of(Reason.MASK, f"masks for {camera}", f"masks for {statement.camera}")
    if statement.version < max(held_version, 1):  # 6
        raise Refused.of(
            Reason.MASK,
            f"version {max(held_version, 1)} or later",
            statement.version,
            "masks never go back; set them anew: framegate mask set",
        )
    polygons = check_masks(statement.regions)  # 7, 8
    return Masks(
        statement.version, sha256(parse_envelope(data, MaskStatement.TYPE).payload), polygons
    )
