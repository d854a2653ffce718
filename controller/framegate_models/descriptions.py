"""What the backbone says to pictures of sound parts, kept as numbers to learn from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.picture_input import placing_of, tensor_of
from framegate_gateway.inference.recipe import PictureInput
from framegate_gateway.inference.session import new_session
from framegate_models.backbone import DEVIATION, MEAN
from framegate_models.damage import ALL, damaged
from framegate_models.pretrained import Weights
from framegate_models.progress import Said
from framegate_models.quantise import in_eight_bits
from framegate_models.surface import Given, Scale
from framegate_models.surface_graph import INPUT, OUTPUTS, describing_graph

ENOUGH: Final = 240
"""Descriptions from which on variants of pictures tell nothing new."""
MAX_ROUNDS: Final = 6
MOVED: Final = 0.015
"""Of the shorter side: how far a variant is moved, at most, as parts lie in a fixture."""
TURNED_DEG: Final = 1.0
GAIN: Final = 0.05
"""By how much a variant is brighter or darker: a lamp as it warms up."""
LEAST_QUALITY: Final = 85
MOST_QUALITY: Final = 95
"""Of JPEG, as cameras send it, agents with 90: a network that saw files without its loss alone
takes every frame of a camera for strange.
"""

CALIBRATED_ON: Final = 24
"""Pictures whose activations give the ranges of eight bits."""
CALIBRATED_DAMAGE: Final = 2.0
"""Strength of the damage that is drawn on every second of them."""
LEAST_ALIKE: Final = 0.9
"""Correlation of descriptions in eight bits with those in floating point. On magnetic tiles it is
0.95 to 0.97, a frame takes half the time, and the area under ROC stays.
"""
_EIGHT_BITS: Final = ("Conv", "Add", "Clip")

Described = tuple[NDArray[np.float16], NDArray[np.float16]]
"""For each of two scales (n, c, h, w)."""


@dataclass(frozen=True, slots=True)
class Descriptions:
    """For each scale the descriptions (n, c, h, w), and the number of the picture that each of the
    n is of; the first are the pictures themselves, the rest variants of them.
    """

    scales: Described
    pictures: NDArray[np.int64]

    def shown(self, number: int) -> list[NDArray[np.float32]]:
        """Those of the picture of this number itself, as `Describer.of`."""
        return [one[number : number + 1].astype(np.float32) for one in self.scales]

    def of(self, chosen: NDArray[np.bool_]) -> Descriptions:
        """Those that are `chosen` (n,)."""
        fine, coarse = self.scales
        return Descriptions((fine[chosen], coarse[chosen]), self.pictures[chosen])


@dataclass(frozen=True, slots=True)
class Looking:
    """How pictures are looked at: by which `seed` they are varied, with how many `threads`, until
    the monotonic clock says `until`, and who is told.
    """

    seed: int
    threads: int
    until: float
    said: Said


def given_of(given: PictureInput, *, evened: bool) -> Given:
    """What a recipe's input is to the network, pictures brought to one contrast or not."""
    beside = (given.fill / given.divide - MEAN) / DEVIATION if given.fit == "letterbox" else None
    return Given((given.height, given.width), beside, evened)


class Describer:
    """Describes pictures that come as `given`, at two scales, by the network `model`."""

    def __init__(self, model: bytes, given: PictureInput, threads: int) -> None:
        self.model, self._given = model, given
        self._session = new_session(model, threads)

    def of(self, picture: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """For each scale (1, c, h, w)."""
        return list(self._session.run(OUTPUTS, shown_to(self._given, picture)))


def shown_to(given: PictureInput, picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The picture as a describing network takes it."""
    placing = placing_of(given, (picture.shape[0], picture.shape[1]))
    return {INPUT: tensor_of(given, picture, placing)}


def describer_of(
    weights: Weights,
    scales: tuple[Scale, Scale],
    given: PictureInput,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    evened: bool,
    threads: int,
) -> Describer:
    """What describes pictures that come as `given`: in eight bits, by ranges that are measured on
    some of the `pictures`, where it says the same; else in floating point.
    """
    graph = describing_graph(weights, scales, given_of(given, evened=evened))
    whole = Describer(graph, given, threads)
    some = [pictures[i] for i in np.linspace(0, len(pictures) - 1, CALIBRATED_ON).astype(int)]
    rng = np.random.default_rng(CALIBRATED_ON)
    shown = [variant_of(one, rng) for one in some]
    # what damage brings in has to have room as well
    shown[::2] = [damaged(one, rng, CALIBRATED_DAMAGE, ALL).picture for one in shown[::2]]
    feeds = [shown_to(given, one) for one in shown]
    eighth = Describer(in_eight_bits(graph, feeds, _EIGHT_BITS), given, threads)
    return eighth if alike(whole, eighth, some[:: CALIBRATED_ON // 4]) >= LEAST_ALIKE else whole


def alike(one: Describer, other: Describer, pictures: Sequence[NDArray[np.uint8]]) -> float:
    """The least correlation of what both say to the pictures, over scales and pictures."""
    pairs = [two for shown in pictures for two in zip(one.of(shown), other.of(shown), strict=True)]
    return min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs)


def describe(
    describer: Describer, pictures: Sequence[NDArray[np.uint8]], how: Looking
) -> Descriptions:
    """The pictures described, and variants of them, round by round, until there are `ENOUGH` or
    time is up. Each picture itself is described in any case.
    """
    rng, n = np.random.default_rng(how.seed), len(pictures)
    rounds = 1 + min(MAX_ROUNDS, max(0, -(-ENOUGH // n) - 1))
    rows: list[list[NDArray[np.float16]]] = []
    of: list[int] = []
    for turn in range(rounds):
        for number, picture in enumerate(pictures):
            if turn and time.monotonic() > how.until:
                break
            shown = variant_of(picture, rng) if turn else picture
            rows.append([one.astype(np.float16) for one in describer.of(shown)])
            of.append(number)
            how.said("looking", (turn * n + number + 1) / (rounds * n), f"round {turn + 1}")
    how.said("looking", 1.0, f"{len(of)} descriptions of {n} pictures")
    fine, coarse = (np.concatenate([row[i] for row in rows]) for i in range(2))
    return Descriptions((fine, coarse), np.array(of, np.int64))


def variant_of(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (h, w, 3) moved, turned and brightened by chance, as much as happens at a line,
    and sent as JPEG; what comes in at the rim is the rim.
    """
    h, w = picture.shape[:2]
    reach = MOVED * min(h, w)
    turn = float(rng.uniform(-TURNED_DEG, TURNED_DEG))
    matrix = np.asarray(cv2.getRotationMatrix2D((w / 2, h / 2), turn, 1.0), np.float64)
    matrix[:, 2] += rng.uniform(-reach, reach, 2)
    moved = cv2.warpAffine(picture, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
    return sent_of(np.asarray(moved, np.uint8), rng)


def sent_of(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture where it is, brightened by chance and sent as JPEG."""
    lit = cv2.convertScaleAbs(picture, alpha=1 + float(rng.uniform(-GAIN, GAIN)))
    quality = int(rng.integers(LEAST_QUALITY, MOST_QUALITY + 1))
    sent = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR), np.uint8)
