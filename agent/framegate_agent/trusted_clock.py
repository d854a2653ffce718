"""What time it is to a machine: its own clock, corrected by what its fleet signs, and how far back
that may ever go.

A machine's wall clock is anybody's: it may have no battery, and whoever answers NTP sets it. What a
fleet signed moves it on, and nothing moves it back but what its fleet signs now, and no further
than the TPM's clock bears witness that time has passed.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from framegate.errors import Reason, Refused

log = logging.getLogger(__name__)
BUILD_MS: Final = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
"""No certificate of a fleet is older than this program: a clock before it is wrong."""
LEEWAY_MS: Final = 60_000
"""By which what is signed may lie before what was signed: controllers of one fleet differ by less,
and a challenge may have been on its way for a while.
"""
PERIOD_MS: Final = 24 * 3_600_000
"""For which the earliest of what was signed counts, and at most twice as long: a controller whose
clock was ahead is set right within a day, and what a machine was told before it was switched off
has no say in what time it is a day or two after.
"""
PERIODS: Final = 2
"""Of which one is remembered: the present one and the one before."""
FAST: Final = 100
"""A TPM's clock is believed but for one in so many, for it goes by an oscillator of its own."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What time a verified challenge said that it was, and what the TPM's clock then stood at, both
    in ms.
    """

    signed_ms: int
    tpm_ms: int

    def earliest_ms(self, tpm_ms: int) -> int:
        """The earliest that it can be where that is so, now that the TPM's clock stands at
        `tpm_ms`. It stands still while the TPM has no power, and may fall back by an hour when it
        loses that (TPM 2.0 Part 1, 36.3): later is possible, earlier is not.
        """
        passed_ms = max(0, tpm_ms - self.tpm_ms)
        return self.signed_ms + passed_ms - passed_ms // FAST


class TrustedClock:
    """Wall clock that is corrected by every verified challenge. `floor_ms` is the latest that was
    signed; what is older is refused, but for `set_back`.
    """

    def __init__(self, floor_ms: int, kept: bytes = b"") -> None:
        """`kept` is what `marshal` gave; what is none of that counts for nothing."""
        self.floor_ms, self._offset_ms = max(floor_ms, BUILD_MS), 0
        remembered = _parsed(kept)
        self._seen, self._begun_ms = remembered.seen, remembered.begun_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return max(time.time_ns() // 1_000_000 + self._offset_ms, self.floor_ms)

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self.now_ms() / 1000

    def is_past(self, signed_ms: int) -> bool:
        """Whether it lies before what was signed."""
        return signed_ms + LEEWAY_MS < self.floor_ms

    def correct(self, signed_ms: int) -> None:
        """A verified challenge says what time it is."""
        self._offset_ms = signed_ms - time.time_ns() // 1_000_000
        self.floor_ms = max(self.floor_ms, signed_ms)

    def set_back(self, signed_ms: int, tpm_ms: int) -> None:
        """A verified challenge says that it is earlier than was signed, and the TPM's clock stands
        at `tpm_ms`: a controller's clock was ahead, or is behind now, or somebody has an old key.
        Only the first is no earlier than what was signed before, and what has passed since. Raises
        Refused (SESSION_EXPIRED) for the others.
        """
        earliest_ms = self._earliest_ms(tpm_ms)
        if signed_ms + LEEWAY_MS < earliest_ms:
            raise Refused.of(
                Reason.SESSION_EXPIRED,
                "a challenge of now",
                f"one from the past, {_said(signed_ms)}: it is {_said(earliest_ms)} or later",
                "see whether the controller's clock is behind, or was ahead for more than a day",
            )
        # no further than that, lest each challenge have its own leeway below the one before
        self.floor_ms = max(signed_ms, earliest_ms, BUILD_MS)
        self._begun_ms = min(self._begun_ms, signed_ms)
        self.correct(signed_ms)

    def saw(self, sighting: Sighting) -> None:
        """Remember the earliest line of this period and of the one before, as far as what is told
        lies below neither the floor nor every line: of that, it is leeway alone.
        """
        least_ms = min(self.floor_ms, self._earliest_ms(sighting.tpm_ms))
        sighting = Sighting(max(sighting.signed_ms, least_ms), sighting.tpm_ms)
        if not self._seen or sighting.signed_ms - self._begun_ms >= PERIOD_MS:
            self._seen, self._begun_ms = (*self._seen, sighting)[-PERIODS:], sighting.signed_ms
            return
        *before, lowest = self._seen
        if sighting.earliest_ms(sighting.tpm_ms) <= lowest.earliest_ms(sighting.tpm_ms):
            lowest = sighting
        self._seen = (*before, lowest)

    def _earliest_ms(self, tpm_ms: int) -> int:
        """The earliest that it can be by what is remembered; the floor where that is nothing."""
        return min((s.earliest_ms(tpm_ms) for s in self._seen), default=self.floor_ms)

    def marshal(self) -> bytes:
        """What is remembered, as JSON."""
        seen = [[s.signed_ms, s.tpm_ms] for s in self._seen]
        return json.dumps({"begun_ms": self._begun_ms, "seen": seen}).encode()


@dataclass(frozen=True, slots=True)
class _Remembered:
    seen: tuple[Sighting, ...] = ()
    begun_ms: int = 0


def _parsed(kept: bytes) -> _Remembered:
    """What `marshal` gave; nothing where it is of anything else: nothing is refused for that, and
    then no clock is set back.
    """
    try:
        body = json.loads(kept or b"{}")
        seen = tuple(Sighting(*map(_moment, each)) for each in body.get("seen", ()))[-PERIODS:]
        return _Remembered(seen, _moment(body.get("begun_ms", 0)))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        log.warning("what was remembered of the fleet's time is not taken: %s", error)
        return _Remembered()


def _moment(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"expected milliseconds, got {value!a:.40}")
    return value


def _said(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
