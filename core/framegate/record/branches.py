"""Heads of a record that was restored from a backup: those of the record as it is, and those of
entries that were lost with a registry, which its restorations have to own up to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.signed.receipt import Checkpoint

EVENT: Final = "registry-restored"
"""The entry that tells of a restoration."""


@dataclass(frozen=True, slots=True)
class LoggedRestoration:
    """A restoration as entry `index` of the record tells of it: the first `kept` entries are those
    that were seen before; `seen` is how many there were, as far as anybody has shown.
    """

    index: int
    number: int
    kept: int
    seen: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class LostEntries:
    """Entries `first` to `last` that a head once covered, and a restoration lost."""

    first: int
    last: int
    restored_at_ms: int


@dataclass(frozen=True, slots=True)
class Branches:
    """`kept` heads are of the record as it is; `lost` is what other ones covered, in order;
    `refused` says why a head is of neither, empty where each is of one.
    """

    kept: tuple[Checkpoint, ...]
    lost: tuple[LostEntries, ...] = ()
    refused: str = ""


def logged_restoration(index: int, body: Mapping[str, Any]) -> list[LoggedRestoration]:
    """What entry `index` says of a restoration; nothing where it is of something else. Raises
    KeyError, TypeError or ValueError where it says it wrongly.
    """
    if body.get("event") != EVENT or body.get("kind") != "event":
        return []
    members = body["members"]
    number, kept, seen = members["number"], members["kept"], members["seen"]
    at_ms = body["at_ms"]
    if not all(type(v) is int for v in (number, kept, seen, at_ms)) or not 0 < kept <= index:
        raise ValueError("numbers of a restoration")
    return [LoggedRestoration(index, number, kept, seen, at_ms)]


def part_heads(heads: Sequence[Checkpoint], restored: Sequence[LoggedRestoration]) -> Branches:
    """Which of `heads` are of this record, by its restorations.

    1. no head knows of a later restoration than the record: that one is an older copy;
    2. a head that knows of restoration k and is over no more than what each later one kept is of
       this record, and so are those after the last;
    3. any other is of entries that were lost, if it was signed before the next restoration and a
       later one says that at least so many entries were seen. Else somebody saw more than was
       owned up to.
    """
    kept: list[Checkpoint] = []
    lost: dict[int, LostEntries] = {}
    numbers = [0, *(r.number for r in restored)]
    if numbers != sorted(set(numbers)):
        return Branches((), refused=f"expected restorations in order, got {numbers[1:]}")
    for head in heads:
        if head.restorations > numbers[-1]:  # 1
            return Branches((), refused=_OLDER.format(head.restorations, numbers[-1]))
        later = [r for r in restored if r.number > head.restorations]
        left = min((r.kept for r in later), default=head.size)
        if head.size <= left:  # 2
            kept.append(head)
            continue
        if head.at_ms > later[0].at_ms or head.size > max(r.seen for r in later):  # 3
            return Branches((), refused=_DENIED.format(head.size, max(r.seen for r in later)))
        before = lost.get(left)
        last = max(head.size - 1, before.last if before is not None else 0)
        lost[left] = LostEntries(left, last, later[0].at_ms)
    return Branches(tuple(kept), tuple(lost[first] for first in sorted(lost)))


def restorations_before(size: int, restored: Sequence[LoggedRestoration]) -> int:
    """The last restoration that the first `size` entries tell of: what a head over them has to
    say.
    """
    return max((r.number for r in restored if r.index < size), default=0)


_OLDER: Final = (
    "expected a record restored {} times as a signed head says, got one restored {} times: it is an"
    " older copy; on the controller's host: framegate-controller restore --seen HEADS"
)
_DENIED: Final = (
    "a signed head speaks of {} entries, and the restoration after it of {}: more was lost than was"
    " said, or two controllers have this fleet's keys; on the controller's host:"
    " framegate-controller restore --seen HEADS"
)
