"""The closed list of second looks: what each one measures, which side of its limit is suspicious,
and how far a limit may go at all.

Each is a check of its own, with a reason of its own. They are never pooled into one score: a
perturbation that hides from one of them stands out in another, and an average of both hides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from framegate.errors import Reason


class Look(StrEnum):
    """A second look. Values stand in signed parts and in receipts: they never change."""

    RESIDUAL = "residual"
    GROUNDLESS = "groundless"
    HIGH_FREQUENCY = "high-frequency"
    HIGH_FREQUENCY_BLOCK = "high-frequency-block"
    NOISE_FLOOR = "noise-floor"
    NEAR_MISS = "near-miss"
    ASKED_AGAIN = "asked-again"
    CONTRAST = "contrast"
    LIGHT = "light"
    FOCUS = "focus"
    GOLDEN_EDGES = "golden-edges"
    GOLDEN_NOISE = "golden-noise"
    REPLAYED_EDGES = "replayed-edges"
    REPLAYED_NOISE = "replayed-noise"
    CAMERA_FINGERPRINT = "camera-fingerprint"
    COARSE_GRAIN = "coarse-grain"


@dataclass(frozen=True, slots=True)
class LookKind:
    """What is fixed of a look: the `reason` of a hit; whether its limit `is_most`, an upper bound
    (else the least that a frame must have); `extreme`, the loosest limit that a part may be given,
    and `weak`, the one from which on the part is poorly guarded; what it `measures`, in words;
    `slack`: by how much a limit lies past the furthest sound frame at least.
    """

    reason: Reason
    is_most: bool
    extreme: float
    weak: float
    measures: str
    slack: float = 0.0


KINDS: Final[Mapping[Look, LookKind]] = MappingProxyType(
    {
        # an open track or a spur of 12 pixels differs by some 100 grey levels
        Look.RESIDUAL: LookKind(
            Reason.RESIDUAL_UNEXPLAINED,
            True,
            80.0,
            40.0,
            "largest difference from the golden image that no detection explains, in grey levels",
        ),
        Look.GROUNDLESS: LookKind(
            Reason.DETECTION_GROUNDLESS,
            False,
            2.0,
            6.0,
            "difference from the golden image under the detection that has least of it",
        ),
        # a perturbation of 8 of 255 adds some four grey levels
        Look.HIGH_FREQUENCY: LookKind(
            Reason.HIGH_FREQUENCY,
            True,
            6.0,
            3.0,
            "fine grain of the flat zones, in grey levels",
        ),
        Look.HIGH_FREQUENCY_BLOCK: LookKind(
            Reason.HIGH_FREQUENCY_BLOCK,
            True,
            24.0,
            10.0,
            "fine grain of the flat zones in the block of 32 pixels that has most of it",
        ),
        Look.NOISE_FLOOR: LookKind(
            Reason.NOISE_MISSING,
            False,
            0.3,
            0.5,
            "fine grain of the flat zones that a camera's sensor always leaves",
        ),
        Look.NEAR_MISS: LookKind(
            Reason.DETECTION_NEAR,
            True,
            0.6,
            0.5,
            "best score of what is just no detection",
        ),
        Look.ASKED_AGAIN: LookKind(
            Reason.ANSWER_UNSTEADY,
            True,
            0.99,
            0.9,
            "best score of any defect in a piece of the same frame, mirrored and moved by chance",
        ),
        # at 0.6 of the golden image's the network's recall falls to 95 %
        Look.CONTRAST: LookKind(
            Reason.IMAGE_CONTRAST,
            False,
            0.65,
            0.75,
            "contrast, as a share of the golden image's",
        ),
        # the gate refuses from there on
        Look.LIGHT: LookKind(
            Reason.IMAGE_EXPOSURE,
            True,
            0.20,
            0.15,
            "mean level off the golden image's, as a share of the full scale",
        ),
        Look.FOCUS: LookKind(
            Reason.IMAGE_DEFOCUS,
            False,
            0.12,
            0.25,
            "sharpness of edges, as a share of the golden image's",
        ),
        Look.GOLDEN_EDGES: LookKind(
            Reason.GOLDEN_COPY,
            False,
            0.5,
            2.0,
            "difference from the golden image along its edges, in grey levels",
        ),
        # two photographs by one sensor have its fixed pattern in common, a third of their noise
        Look.GOLDEN_NOISE: LookKind(
            Reason.GOLDEN_COPY,
            True,
            0.75,
            0.55,
            "correlation of the fine grain with the golden image's own",
            0.1,  # by chance it comes to 0.05; a copy by the same sensor to 0.6 and more
        ),
        Look.REPLAYED_EDGES: LookKind(
            Reason.SCENE_REPLAYED,
            True,
            0.97,
            0.9,
            "correlation along the edges with one of the camera's last frames",
        ),
        Look.REPLAYED_NOISE: LookKind(
            Reason.SCENE_REPLAYED,
            True,
            0.75,
            0.55,
            "correlation of the fine grain with one of the camera's last frames",
        ),
        # another camera's comes to 30 by chance once in fifty million windows; blocks of a JPEG of
        # quality 50 that two cameras have in common came to 300
        Look.CAMERA_FINGERPRINT: LookKind(
            Reason.CAMERA_FOREIGN,
            False,
            30.0,
            600.0,
            "how the last frames' fixed pattern stands out as the sensor's that was commissioned",
        ),
        # what a smooth perturbation of 32 of 255 leaves comes to 6, of sound boards to 0.3
        Look.COARSE_GRAIN: LookKind(
            Reason.COARSE_GRAIN,
            True,
            4.0,
            2.0,
            "coarse grain of the flat zones in the piece of 128 pixels that has most of it",
            0.5,  # flat zones of thresholded boards have none at all, until a speck lies there
        ),
    }
)
MOST_MEASURED: Final = 1e4
"""Above it no look measures anything: grey levels end at 255, correlations at one."""


AT_THE_GATE: Final = frozenset({Look.CONTRAST, Look.LIGHT, Look.FOCUS})
"""Looks that refuse a frame before the network sees it."""


def suspicious(look: Look, measured: float, limit: float) -> bool:
    """Whether `measured` is past `limit`."""
    return measured > limit if KINDS[look].is_most else measured < limit
