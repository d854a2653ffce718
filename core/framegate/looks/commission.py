"""Limits out of what sound frames measured: how far each look may go for this part, and how well
that guards it.

A limit is the furthest that a sound frame went, and a little more. Whoever mixes other frames into
the set moves that (N185): a few frames far off the rest are not counted and are told of; where more
than a few lie apart, the look gets no limit at all.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from framegate.errors import Reason, Refused
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.kinds import KINDS, Look, suspicious
from framegate.looks.limits import MAX_COMMISSION, MAX_FINGERPRINTS, MIN_COMMISSION, Limit

MARGIN: Final = 0.25
"""How far past the furthest sound frame a limit lies, as a share of that frame's way from the
middle: the furthest of 200 is no more than what one in 200 reaches, and there are fourteen looks.
By 0.15, 2.1 % of 282 real boards were withheld, each by the limits of others; by 0.25, 1.8 %.
"""
MOST_LEFT_OUT: Final = 0.01
"""Share of frames that may lie far off the others and be left out: a hand before the lens, a part
with a blemish. More of them are no accident.
"""
FAR_OFF: Final = 1.0
"""A gap to the next frame, as a multiple of that one's way from the middle, from which on a frame
is far off.
"""
SECOND_HALF: Final = 0.03
"""Share of the second half's frames that may pass the first half's limit."""
GROUND: Final = 0.50
"""A detection has nothing under it where the golden image differs less there than it does somewhere
in half of the sound frames.
"""
SCORES: Final = frozenset({Look.NEAR_MISS, Look.ASKED_AGAIN})
"""Looks that measure nothing in most sound frames and a score in the others: no gap among those
says that there are two groups, and a limit past the very furthest would be past any defect's.
"""
SPARED: Final = 0.005
"""Share of sound frames whose score may be past the limit: every other look has less."""
LEAST_WINDOWS: Final = 64
"""Frames with whose window before them a fingerprint was tried, that it had not been learned from.
"""
OF_LEAST: Final = 0.5
"""A fingerprint's limit, as a share of the least that own frames measured. Half of the frames of
another sensor leave a quarter; light, gain and JPEG of quality 90 leave a third more than half.
"""
UNEVEN: Final = 0.35
"""Of what own frames measured in the middle, the least that some of them may: a third of the window
by another sensor leaves less.
"""
BINS: Final = 24
NORMAL: Final = 1.4826
"""Deviation of a normal distribution over its median absolute deviation."""
WIDE: Final = 3.0
"""Deviations that a gap is wide from."""
COARSE, FINE = 0.05, 0.02
"""Of a look's loosest limit, what is no gap and what is no deviation: grey levels are whole."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """What sound frames measured of one look, in bins from `least` to `most`; the limit that
    follows, None where none does; how many frames far off were left out.
    """

    look: Look
    least: float
    most: float
    bins: tuple[int, ...]
    limit: float | None
    left_out: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The limits for a part, what they come from, and what is weak about them, in sentences."""

    limits: tuple[Limit, ...]
    distributions: tuple[Distribution, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Values of one look, ordered so that the last is the most suspicious, turned so that more is;
    `apart`: how many of the last lie far off.
    """

    values: tuple[float, ...]
    apart: int

    @property
    def kept(self) -> tuple[float, ...]:
        return self.values[: len(self.values) - self.apart]


def propose(
    rows: Sequence[Mapping[Look, float]],
    share: float = 1.0,
    fingerprints: Mapping[str, Fingerprint] = MappingProxyType({}),
) -> Proposal:
    """Limits out of the `rows` of sound frames, in the order in which they came, and of what they
    say of each camera's sensor (`fingerprints`, by name). `share`: of how many frames the second
    question is to be asked. Raises Refused (PART) for too few or too many.
    """
    if not MIN_COMMISSION <= len(rows) <= MAX_COMMISSION:
        wanted = f"{MIN_COMMISSION} to {MAX_COMMISSION} frames of sound parts"
        raise Refused.of(Reason.PART, wanted, len(rows), "framegate part commission --frames")
    limits: list[Limit] = []
    distributions: list[Distribution] = []
    warnings: list[str] = []
    for look in Look:
        values = [row[look] for row in rows if look in row]
        if look == Look.CAMERA_FINGERPRINT:
            own, said = _of_sensor(values, fingerprints, len(rows))
            warnings += said
            limits += [] if own is None else [own]
            distributions += [_distribution(look, values, own)] if values else []
            continue
        if len(values) < MIN_COMMISSION:
            if look != Look.GROUNDLESS:
                warnings.append(f"{look}: measured in {len(values)} frames alone; no limit")
            continue
        one, said = _limit_of(look, values, share if look == Look.ASKED_AGAIN else 1.0)
        warnings += said
        limits += [] if one is None else [one]
        distributions.append(_distribution(look, values, one))
    return Proposal((*limits, *_ground(rows)), tuple(distributions), tuple(warnings))


def _limit_of(
    look: Look, values: Sequence[float], share: float
) -> tuple[Limit | None, tuple[str, ...]]:
    kind = KINDS[look]
    ordered = _ordered(look, values)
    if ordered.apart > MOST_LEFT_OUT * len(values):
        few = f"{ordered.apart} of {len(values)} frames lie far off the others"
        return None, (f"{look}: {few}; no limit. What is different about them?",)
    limit = _beyond(look, ordered.kept)
    said: list[str] = []
    if ordered.apart and look not in SCORES:
        said.append(f"{look}: {ordered.apart} frames far off the others are left out")
    if suspicious(look, limit, kind.extreme):
        said.append(
            f"{look}: sound frames reach {limit:.3g}, past {kind.extreme:g}; this look cannot"
            " guard the part"
        )
        return None, tuple(said)
    if suspicious(look, limit, kind.weak):
        said.append(f"{look}: a limit of {limit:.3g} guards poorly; {kind.weak:g} would be good")
    said += _second_half(look, values)
    one = Limit(
        look,
        _rounded(limit),
        share,
        len(values),
        _rounded(statistics.median(values)),
        _rounded(max(_spread(values), FINE * abs(kind.extreme))),
    )
    return one, tuple(said)


def _of_sensor(
    values: Sequence[float], fingerprints: Mapping[str, Fingerprint], frames: int
) -> tuple[Limit | None, tuple[str, ...]]:
    """The limit of `CAMERA_FINGERPRINT`, out of how like their own sensor windows were that it was
    not learned from.
    """
    look = Look.CAMERA_FINGERPRINT
    if len(values) < LEAST_WINDOWS or not 1 <= len(fingerprints) <= MAX_FINGERPRINTS:
        why = "pictures are small, parts lie still, or more than one camera shares the frames"
        return None, (f"{look}: measured in {len(values)} frames alone; no limit: {why}",)
    least, middle = min(values), statistics.median(values)
    if least < UNEVEN * middle:
        few = f"some frames have a third of what others have ({least:.3g}, {middle:.3g})"
        return None, (f"{look}: {few}; no limit. Are all of them by one sensor?",)
    kind, limit = KINDS[look], OF_LEAST * least
    if suspicious(look, limit, kind.extreme):
        none = "thresholded, smoothed or compressed, pictures have no sensor's pattern left"
        return None, (f"{look}: sound frames measure {least:.3g}; {none}; no limit",)
    said: tuple[str, ...] = ()
    if suspicious(look, limit, kind.weak):
        said = (f"{look}: a limit of {limit:.3g} guards poorly; {kind.weak:g} would be good",)
    known = tuple(sorted(fingerprints.items()))
    spread = _rounded(_spread(values))
    return Limit(look, _rounded(limit), 1.0, frames, _rounded(middle), spread, known), said


def _ordered(look: Look, values: Sequence[float]) -> _Sorted:
    """`values` turned and ordered; far off is what lies behind the first gap past the middle that
    is wider than all the way from the middle to it, and than some deviations: two groups, or a few
    strays.
    """
    turn = 1.0 if KINDS[look].is_most else -1.0
    ordered = sorted(turn * value for value in values)
    middle = statistics.median(ordered)
    usual = max(WIDE * _spread(ordered), COARSE * abs(KINDS[look].extreme))
    half = len(ordered) // 2
    if look in SCORES:
        return _Sorted(tuple(ordered), int(SPARED * len(ordered)))
    for number, (one, following) in enumerate(pairwise(ordered[half:]), start=half + 1):
        if following - one > max(usual, FAR_OFF * (one - middle)):
            return _Sorted(tuple(ordered), len(ordered) - number)
    return _Sorted(tuple(ordered), 0)


def _spread(values: Sequence[float]) -> float:
    """Deviation, from the median absolute one: strays do not move it."""
    middle = statistics.median(values)
    return NORMAL * statistics.median(abs(value - middle) for value in values)


def _beyond(look: Look, turned: Sequence[float]) -> float:
    """The limit past the furthest of `turned`, but no looser than the look allows where that frame
    itself is not.
    """
    kind, furthest = KINDS[look], turned[-1]
    more = max(
        MARGIN * (furthest - statistics.median(turned)), FINE * abs(kind.extreme), kind.slack
    )
    if look in SCORES:  # they end at one
        more = MARGIN * (1 - furthest)
    turn = 1.0 if kind.is_most else -1.0
    limit = turn * (furthest + more) if kind.is_most else max(0.0, turn * (furthest + more))
    within = not suspicious(look, turn * furthest, kind.extreme)
    return kind.extreme if within and suspicious(look, limit, kind.extreme) else limit


def _second_half(look: Look, values: Sequence[float]) -> list[str]:
    """A scene that changes while its limits are found."""
    first, second = values[: len(values) // 2], values[len(values) // 2 :]
    limit = _beyond(look, _ordered(look, first).kept)
    past = sum(suspicious(look, value, limit) for value in second) / len(second)
    if past <= SECOND_HALF:
        return []
    share = f"{100 * past:.0f} % of the second half passes the first half's limit"
    return [f"{look}: {share}; did light, place or parts change meanwhile?"]


def _ground(rows: Sequence[Mapping[Look, float]]) -> tuple[Limit, ...]:
    """The limit of `GROUNDLESS`, which no sound frame measures: what sound frames have somewhere
    without a detection.
    """
    peaks = sorted(row[Look.RESIDUAL] for row in rows if Look.RESIDUAL in row)
    if len(peaks) < MIN_COMMISSION:
        return ()
    limit = max(peaks[int(GROUND * len(peaks))], KINDS[Look.GROUNDLESS].extreme)
    middle = statistics.median(peaks)
    return (Limit(Look.GROUNDLESS, _rounded(limit), 1.0, len(peaks), _rounded(middle), 1.0),)


def _distribution(look: Look, values: Sequence[float], limit: Limit | None) -> Distribution:
    least, most = min(values), max(values)
    width = max(most - least, 1e-9) / BINS
    bins = [0] * BINS
    for value in values:
        bins[min(BINS - 1, int((value - least) / width))] += 1
    apart = _ordered(look, values).apart
    return Distribution(
        look, least, most, tuple(bins), None if limit is None else limit.limit, apart
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
