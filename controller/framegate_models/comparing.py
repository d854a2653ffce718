"""Whether one way of learning finds more drawn damage than another, or chance says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from framegate_models.anomaly_accuracy import recall_up_to

Floats = NDArray[np.float64]

RESAMPLES: Final = 400
CLEARLY: Final = 0.975
"""Share of the resamples in which a way has to find more than the usual one, to be taken in its
place. Up to 1 % false alarms the three strangest of 300 sound pictures decide what is found: on
magnetic tiles that share is known to 4 to 7 points, and ways that lie a point apart there tell 64
and 4 of the bad ones.
"""


@dataclass(frozen=True, slots=True)
class Told:
    """How strange a way finds sound pictures (n,), and the same with damage (n,); `of` (n,): the
    picture that each is a variant of.
    """

    of: NDArray[np.int64]
    sound: Floats
    damaged: Floats

    def found(self, rate: float) -> float:
        """The mean share of damage found as false alarms go from none to `rate`."""
        return recall_up_to(self.damaged, self.sound, rate)


def share_more(one: Told, other: Told, rate: float, seed: int) -> float:
    """In which share of resamples `one` finds more than `other`, both of the same pictures: drawn
    anew with replacement (Efron 1979), all variants of one together, since they are no separate
    witnesses.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(one.of == picture) for picture in np.unique(one.of)]
    more = 0
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        a, b = (recall_up_to(told.damaged[drawn], told.sound[drawn], rate) for told in (one, other))
        more += a > b
    return more / RESAMPLES
