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
magnetic tiles that share is known to 4 to 7 points. Ways that lay a point apart on half of them
told 16 and 4 of 85 bad ones.
"""
FEWER: Final = 0.2
"""Share of the drawn damage that the usual way misses, which another has to find besides: what is
drawn is no sample of what comes. On half of the tiles a way that missed a ninth less of it, and not
by chance, told 30 of 102 bad ones where the usual one tells 45.
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


def clearly_better(one: Told, usual: Told, rate: float, surely: float) -> bool:
    """Whether `one` is to be taken in the usual way's place: it finds more in the share `surely` of
    resamples, and `FEWER` of what is missed.
    """
    found = usual.found(rate)
    return surely >= CLEARLY and one.found(rate) >= found + FEWER * (1 - found)


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
