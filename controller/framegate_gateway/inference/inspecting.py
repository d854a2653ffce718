"""What every kind of bundle does with a frame: decode, prepare, run the network, judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.bundle import KnownAnswer
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.gate import Golden
from framegate_gateway.inference.picture_input import Placing
from framegate_gateway.inference.place import NO_LEEWAY, Leeway
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.registration import Gray
from framegate_gateway.inference.scene import Scene
from framegate_gateway.inference.variants import Variant

MAX_VALUE: Final = 1e6
"""Above it no network that sees pixels answers anything that is meant: logits are tens, places
thousands.
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: `gray` (h, w) uint8 for the gate and for masks, and `picture`, what the
    network is to see of it: the same, or (h, w, 3) uint8 in the order blue, green, red.
    """

    gray: Gray
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Ready:
    """A frame as the network takes it: the input `tensor`, where in it the frame lies, and which of
    the part's golden images it was held against; `scene` has the two for second looks, None where
    the golden image was not moved to lie under the frame, and `matrix` (3, 3), where the part lies
    otherwise than in that, goes from its pixels to the frame's.
    """

    tensor: NDArray[Any]
    placing: Placing
    golden: int = 0
    scene: Scene | None = None
    matrix: NDArray[np.float64] | None = None


class Inspects(Protocol):
    """A model with its recipe, ready to inspect frames of its kind."""

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""

    def decode(
        self, data: bytes, encoding: int | None = None, claimed: tuple[int, int] | None = None
    ) -> Frame:
        """The frame. Raises Malformed (IMAGE)."""

    def ready(self, frame: Frame, goldens: Sequence[Golden], leeway: Leeway = NO_LEEWAY) -> Ready:
        """The frame past the gate. Raises Refused or Malformed."""

    def known(self, answer: KnownAnswer, variant: Variant | None = None) -> Ready:
        """A known frame, or a variant of it; no gate."""

    def answers(self, ready: Ready) -> Sequence[NDArray[Any]]:
        """What the network says, looked at by `checked`."""

    def checked(self, placing: Placing, arrays: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """A network's outputs, of the shapes that the recipe has and all numbers. Raises
        Unavailable (INFERENCE).
        """

    def judged(
        self,
        arrays: Sequence[NDArray[Any]],
        placing: Placing,
        threshold: float | None = None,
        ignored: Sequence[Any] = (),
    ) -> Detections:
        """What outputs mean, in the frame: calibrated scores of at least `threshold` (default: the
        recipe's). Raises Unavailable (INFERENCE).
        """


def require_numbers(arrays: Sequence[NDArray[Any]]) -> None:
    """That every value is a number, and of a size that can be meant. Raises Unavailable
    (INFERENCE).
    """
    for array in arrays:
        if not array.size:
            continue
        least, most = float(array.min()), float(array.max())  # NaN is the least and the most
        if not (math.isfinite(least) and math.isfinite(most)):
            raise Unavailable.of(Reason.INFERENCE, "numbers from the model", "NaN or infinity")
        if max(-least, most) > MAX_VALUE:
            came = f"{max(-least, most):.3g}"
            raise Unavailable.of(
                Reason.INFERENCE, f"numbers of at most {MAX_VALUE:g} from the model", came
            )
