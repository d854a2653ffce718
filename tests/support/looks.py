"""Limits of second looks, and what sound frames measure, for tests."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from framegate.looks.fingerprint import BYTES, Fingerprint, parse_fingerprint
from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import Limit
from framegate.signed.inspected import WHOLE
from framegate_gateway.inference.inspection import Inspection, inspection_of

CAMERA = "camera.line-1.cam1"


def row(look: Any = Look.RESIDUAL, **changes: Any) -> dict[str, Any]:
    """A limit as a part has it: the loosest one, unless changed."""
    known = Look(look) if isinstance(look, str) and look in set(Look) else Look.RESIDUAL
    sound = {
        "look": look,
        "limit": KINDS[known].extreme,
        "share": 1.0,
        "frames": 240,
        "centre": 10.0,
        "spread": 2.0,
    }
    if known == Look.CAMERA_FINGERPRINT:
        sound["fingerprints"] = {CAMERA: Fingerprint(bytes(BYTES)).text}
    return {name: str(v) if isinstance(v, Look) else v for name, v in (sound | changes).items()}


def limit(look: Look = Look.RESIDUAL, **changes: Any) -> Limit:
    """The same, parsed."""
    members = {**row(look, **changes), "look": look}
    said = members.pop("fingerprints", {})
    fingerprints = tuple((name, parse_fingerprint(text)) for name, text in said.items())
    return Limit(**members, fingerprints=fingerprints)


def sound_rows(count: int = 240, seed: int = 1) -> list[dict[Look, float]]:
    """What `count` sound frames of a grey camera measure."""
    draw = random.Random(seed)  # noqa: S311 - drawn measurements
    usual = {
        Look.RESIDUAL: (12.0, 2.0),
        Look.HIGH_FREQUENCY: (1.6, 0.05),
        Look.HIGH_FREQUENCY_BLOCK: (2.4, 0.1),
        Look.NOISE_FLOOR: (1.6, 0.05),
        Look.NEAR_MISS: (0.2, 0.05),
        Look.ASKED_AGAIN: (0.25, 0.05),
        Look.CONTRAST: (1.0, 0.02),
        Look.LIGHT: (0.02, 0.005),
        Look.FOCUS: (1.0, 0.05),
        Look.GOLDEN_EDGES: (9.0, 0.5),
        Look.GOLDEN_NOISE: (0.0, 0.02),
        Look.REPLAYED_EDGES: (0.3, 0.05),
        Look.REPLAYED_NOISE: (0.03, 0.01),
        Look.COARSE_GRAIN: (0.7, 0.05),
    }
    return [{look: draw.gauss(*about) for look, about in usual.items()} for _ in range(count)]


def inspected(
    looks: Mapping[Look, float], rows: list[dict[str, Any]], defects: tuple[Any, ...] = ()
) -> Inspection:
    """An answer of the child, held against limits. Raises Withheld."""
    said = {look.value: value for look, value in looks.items()}
    answer = {"defects": defects, "golden_sha256": "ab", "inspected": WHOLE, "looks": said}
    return inspection_of(answer, rows)
