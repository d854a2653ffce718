"""Limits of second looks as a part's signed statement has them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason, Refused
from framegate.looks.fingerprint import Fingerprint, parse_fingerprint
from framegate.looks.kinds import KINDS, MOST_MEASURED, Look, suspicious

MIN_COMMISSION: Final = 200
"""Frames of sound parts that limits are found from: a limit of fewer holds in more than one frame
of a hundred by luck alone.
"""
MAX_COMMISSION: Final = 2_000
LEAST_SHARE: Final = 0.05
"""The smallest share of PASS frames that is asked again: below it a campaign of twenty bad parts
would more likely than not meet no second question.
"""
MAX_FINGERPRINTS: Final = 4
"""Cameras that see one part type: by four, two thousand parts are half of what a feed may hold."""
MAX_CAMERA: Final = 128
"""Letters of a camera's name."""
_MEMBERS: Final = frozenset({"look", "limit", "share", "frames", "centre", "spread"})
_NUMBERS: Final = ("limit", "share", "centre", "spread")


@dataclass(frozen=True, slots=True)
class Limit:
    """A look's limit, found from `frames` frames. `share`: of how many of the frames that would
    PASS the question is asked, by chance; 1 for every look but `ASKED_AGAIN`. `centre` and `spread`
    are the middle of what sound frames measured and their deviation, which drift is held against.
    `fingerprints` by camera's name are what `CAMERA_FINGERPRINT` is held against.
    """

    look: Look
    limit: float
    share: float
    frames: int
    centre: float
    spread: float
    fingerprints: tuple[tuple[str, Fingerprint], ...] = ()

    def fingerprint(self, camera: str) -> Fingerprint | None:
        """The camera's; None where it was not commissioned."""
        return dict(self.fingerprints).get(camera)

    def row(self) -> dict[str, Any]:
        """As a statement has it."""
        body: dict[str, Any] = {
            "look": self.look.value,
            "limit": self.limit,
            "share": self.share,
            "frames": self.frames,
            "centre": self.centre,
            "spread": self.spread,
        }
        if self.look == Look.CAMERA_FINGERPRINT:
            body["fingerprints"] = {name: one.text for name, one in self.fingerprints}
        return body


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A look past its limit."""

    look: Look
    measured: float
    limit: float

    @property
    def reason(self) -> Reason:
        """What it is refused for."""
        return KINDS[self.look].reason

    @property
    def words(self) -> str:
        """What came and what was expected, for a log and for whoever looks at the frame."""
        side = "at most" if KINDS[self.look].is_most else "at least"
        return f"{KINDS[self.look].measures}: {self.measured:.4g}, {side} {self.limit:.4g}"

    def error(self) -> Refused:
        """It as the refusal of a frame."""
        side = "at most" if KINDS[self.look].is_most else "at least"
        return Refused.of(
            self.reason,
            f"{KINDS[self.look].measures}: {side} {self.limit:.4g}",
            f"{self.measured:.4g}",
            "look at the frame and the scene: framegate verdict picture",
        )


def parse_limits(rows: Sequence[Mapping[str, Any]]) -> tuple[Limit, ...]:
    """The limits of a part, after these checks.

    1. each row has its members, each of its type;
    2. its look is one of the list, once;
    3. its limit is a number that the look can measure, and not looser than the look allows at all
       (`LookKind.extreme`): what two people sign may be strict, never void (N184);
    4. its share is 1, or for `ASKED_AGAIN` at least `LEAST_SHARE`;
    5. it was found from `MIN_COMMISSION` to `MAX_COMMISSION` frames;
    6. `CAMERA_FINGERPRINT`, and nothing else, has 1 to `MAX_FINGERPRINTS` fingerprints.

    Raises Malformed or Refused (PART).
    """
    limits: dict[Look, Limit] = {}
    for row in rows:
        limit = _limit(row)  # 1
        if limit.look in limits:  # 2
            raise Malformed.of(Reason.PART, "each look once", f"{limit.look} twice")
        _require_tight(limit)  # 3
        most = LEAST_SHARE if limit.look == Look.ASKED_AGAIN else 1.0
        if not most <= limit.share <= 1:  # 4
            raise Refused.of(
                Reason.PART, f"a share of {most:g} to 1 of frames for {limit.look}", limit.share
            )
        if not MIN_COMMISSION <= limit.frames <= MAX_COMMISSION:  # 5
            raise Refused.of(
                Reason.PART,
                f"limits from {MIN_COMMISSION} to {MAX_COMMISSION} frames",
                limit.frames,
                "framegate part commission",
            )
        limits[limit.look] = limit
    return tuple(limits.values())


def later_looks(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of looks in signed limits that are none of this version's: a later one made them. Who
    shows a part shows them as they are; who inspects by it has to refuse that part alone.
    """
    said = [row.get("look") for row in rows]
    names = (name for name in said if type(name) is str and name and name.isprintable())
    return tuple(name for name in names if name not in set(Look))


def _limit(row: Mapping[str, Any]) -> Limit:
    wanted = "looks as {look, limit, share, frames, centre, spread}"
    if set(row) - {"fingerprints"} != _MEMBERS or type(row["frames"]) is not int:
        raise Malformed.of(Reason.PART, wanted, ascii(dict(row))[:80])
    # whole numbers past what a float holds are compared, not converted: that would overflow
    if any(
        type(row[name]) not in {int, float} or abs(row[name]) > sys.float_info.max
        for name in _NUMBERS
    ):
        raise Malformed.of(Reason.PART, wanted, ascii(dict(row))[:80])
    try:
        look = Look(row["look"])
    except ValueError as error:
        looks = ", ".join(Look)
        raise Malformed.of(Reason.PART, f"one of {looks}", ascii(row["look"])[:40]) from error
    numbers = [float(row[name]) for name in ("centre", "spread")]
    if not all(-1 <= number <= MOST_MEASURED for number in numbers) or numbers[1] < 0:
        raise Malformed.of(Reason.PART, f"what sound frames measured of {look}", ascii(numbers))
    fingerprints = _fingerprints(row) if look == Look.CAMERA_FINGERPRINT else ()  # 6
    if "fingerprints" in row and not fingerprints:
        raise Malformed.of(Reason.PART, f"no fingerprints of {look}", "some")
    centre, spread = numbers
    numbered = float(row["limit"]), float(row["share"]), row["frames"]
    return Limit(look, *numbered, centre, spread, fingerprints)


def _fingerprints(row: Mapping[str, Any]) -> tuple[tuple[str, Fingerprint], ...]:
    said = row.get("fingerprints")
    if (
        type(said) is not dict
        or not 1 <= len(said) <= MAX_FINGERPRINTS
        or not all(is_camera(name) for name in said)
    ):
        wanted = f"fingerprints of 1 to {MAX_FINGERPRINTS} cameras, by name"
        raise Malformed.of(Reason.PART, wanted, ascii(said)[:60])
    return tuple((name, parse_fingerprint(text)) for name, text in said.items())


def is_camera(name: object) -> bool:
    """Whether this may be a camera's name: a few letters that print."""
    return (
        type(name) is str and 0 < len(name) <= MAX_CAMERA and name.isascii() and name.isprintable()
    )


def _require_tight(limit: Limit) -> None:
    kind = KINDS[limit.look]
    if not -1 <= limit.limit <= MOST_MEASURED:  # NaN is in no range
        raise Malformed.of(Reason.PART, f"a limit that {limit.look} can measure", limit.limit)
    if suspicious(limit.look, limit.limit, kind.extreme):
        side = "at most" if kind.is_most else "at least"
        raise Refused.of(
            Reason.PART,
            f"a limit of {limit.look} of {side} {kind.extreme:g}",
            f"{limit.limit:g}",
            "a looser one finds nothing; leave that look out and say so, or steady the scene",
        )


def suspicions(limits: Iterable[Limit], measured: Mapping[Look, float]) -> tuple[Suspicion, ...]:
    """Which looks are past their limits, each by itself. What was not measured of a frame, such as
    a second question that chance left out, is none.
    """
    return tuple(
        Suspicion(limit.look, measured[limit.look], limit.limit)
        for limit in limits
        if limit.look in measured and suspicious(limit.look, measured[limit.look], limit.limit)
    )


def loosened(before: Sequence[Limit], after: Sequence[Limit]) -> tuple[str, ...]:
    """What of a part's guard grows weaker, in words for whoever approves it: looks that go, limits
    that give way, shares that shrink, cameras whose fingerprint goes or is another (N184).
    """
    later = {limit.look: limit for limit in after}
    said = []
    for old in before:
        new = later.get(old.look)
        if new is None:
            said.append(f"{old.look} goes")
        elif suspicious(old.look, new.limit, old.limit):
            said.append(f"{old.look} looser: {old.limit:.4g} to {new.limit:.4g}")
        elif new.share < old.share:
            said.append(f"{old.look} of fewer frames: {old.share:g} to {new.share:g}")
        if new is not None:
            said += _other_fingerprints(old, new)
    return tuple(said)


def _other_fingerprints(old: Limit, new: Limit) -> list[str]:
    said = []
    for camera, fingerprint in old.fingerprints:
        now = new.fingerprint(camera)
        if now != fingerprint:
            said.append(f"{old.look} of {camera}: {'none' if now is None else 'another'}")
    return said
