"""Privacy masks: signed, versioned regions that a camera blanks before it encodes, let alone seals:
polygons of pictures, channels of everything else.

There is no unmasking: the pixels never leave the camera. Frames carry version and digest of the
masks they were taken under in their authenticated metadata; camera and gateway both refuse a frame
taken under older masks than the grant names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_CHANNEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,23}")
Regions = tuple[Polygon, ...] | tuple[str, ...]
"""What of masks one kind of payload has to do with."""


@dataclass(frozen=True, slots=True)
class MaskStatement(Statement):
    """Masks as they are signed. `regions`: [{points: [[x, y], …]}], in fractions of width and
    height from the upper left corner, or {channel: NAME}, a channel of a series.
    """

    camera: str
    version: int
    regions: tuple[dict[str, Any], ...]
    issued_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.masks+json"
    PURPOSE: ClassVar[Purpose] = Purpose.MASK


@dataclass(frozen=True, slots=True)
class MaskRegions:
    """What masks blank: polygons of pictures, and channels of payloads that have channels."""

    polygons: tuple[Polygon, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        named = f", channels {', '.join(self.channels)}" if self.channels else ""
        return f"{len(self.polygons)} masked regions{named}"


@dataclass(frozen=True, slots=True)
class Masks:
    """Verified masks of one camera; `sha256` is the digest of the signed payload, `version` counts
    up from 1. Made by `verify_masks`. What they leave of the picture is `MIN_INSPECTED` or more;
    how much of a series, whoever has the window and its model says.
    """

    version: int
    sha256: bytes
    polygons: tuple[Polygon, ...]
    channels: tuple[str, ...] = ()

    @property
    def regions(self) -> MaskRegions:
        """What they blank."""
        return MaskRegions(self.polygons, self.channels)


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


def parse_masks(regions: Sequence[Any]) -> MaskRegions:
    """Regions of masks: `parse_regions`, and channels, {channel: NAME}, each once. Raises Malformed
    (MASK).
    """
    if len(regions) > MAX_REGIONS:
        raise Malformed.of(Reason.MASK, f"at most {MAX_REGIONS} regions", len(regions))
    named = [region for region in regions if type(region) is dict and "channel" in region]
    channels = [region["channel"] for region in named]
    if (
        any(set(region) != {"channel"} for region in named)
        or not all(type(name) is str and _CHANNEL.fullmatch(name) for name in channels)
        or len(set(channels)) != len(channels)
    ):
        raise Malformed.of(
            Reason.MASK, "channels as {channel: NAME}, each once", ascii(named[:4])[:120]
        )
    polygons = parse_regions([region for region in regions if region not in named])
    return MaskRegions(polygons, tuple(channels))


def as_fractions(regions: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Regions that were parsed, as statements are signed with: corners are fractions whether
    somebody wrote 1 or 1.0, so that the same regions are the same bytes, whatever they were drawn
    with.
    """
    return tuple(
        {"points": [[float(x), float(y)] for x, y in region["points"]]}
        if "points" in region
        else dict(region)
        for region in regions
    )


def check_masks(regions: Sequence[Any]) -> MaskRegions:
    """The regions of masks that may be set: `parse_masks`, and their polygons leave
    `MIN_INSPECTED` percent of the picture. Raises Malformed or Refused (MASK).
    """
    parsed = parse_masks(regions)
    require_inspected(inspected_share(parsed.polygons), Reason.MASK, "masks")
    return parsed


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
       inside the image, or names a channel; 8. together the polygons leave
       `MIN_INSPECTED` percent of it. Raises Malformed or Refused (MASK).
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
    regions = check_masks(statement.regions)  # 7, 8
    digest = sha256(parse_envelope(data, MaskStatement.TYPE).payload)
    return Masks(statement.version, digest, regions.polygons, regions.channels)
