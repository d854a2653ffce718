"""Whether a model says to moved known frames what it says to the frames (N186): counted, in a
process without a decoder too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused
from framegate_gateway.inference.bundle import KnownAnswer

MIN_STEADY: Final = 0.75
"""Share of varied frames, of those with defects and of those without, that must be answered as
known: one in a hundred of a sound model is not, nearly all of a made-up one are.
"""
ROUNDS: Final = 3
"""Of all known frames, each moved anew and counted together, before a model is refused: with a
handful of frames a sound one falls short by chance now and then, a made-up one every time.
"""


@dataclass(slots=True)
class Steadiness:
    """How many varied frames were answered as known, of those with defects and without."""

    bad: int = 0
    bad_steady: int = 0
    good: int = 0
    good_steady: int = 0

    def count(self, answer: KnownAnswer, *, steady: bool) -> None:
        """Take one in."""
        if answer.defects:
            self.bad, self.bad_steady = self.bad + 1, self.bad_steady + steady
        else:
            self.good, self.good_steady = self.good + 1, self.good_steady + steady

    @property
    def holds(self) -> bool:
        """Whether enough were, of both."""
        return (
            self.bad_steady >= MIN_STEADY * self.bad and self.good_steady >= MIN_STEADY * self.good
        )

    @property
    def words(self) -> str:
        """As a message has it."""
        return (
            f"{self.bad_steady} of {self.bad} moved frames with defects and {self.good_steady} of"
            f" {self.good} without"
        )

    def rounds(self, known: Sequence[KnownAnswer]) -> Iterator[tuple[int, KnownAnswer]]:
        """Number and known answer, each as its varied frame is to be asked and counted; all again,
        `ROUNDS` times at most, until enough were answered as known. Raises Refused (KNOWN_ANSWER)
        where they are not even then.
        """
        for _ in range(ROUNDS):
            yield from enumerate(known)
            if self.holds:
                return
        raise Refused.of(
            Reason.KNOWN_ANSWER,
            "known answers to known frames that are moved a little",
            self.words,
            "this model knows its known frames, not the part",
        )
