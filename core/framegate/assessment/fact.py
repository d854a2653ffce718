"""What a fact is: a share, a number or a time out of the record, with the entries that show it.

A fact without data has no value. It is never 0 and never good: `value` is None.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framegate.assessment.reading import Entry, View

MAX_ENTRIES: Final = 12
"""Entries that a fact names: those that speak against it first. All of them are in the record."""
MAX_NAMES: Final = 12
MANY: Final = 100_000
"""Of more than this nobody reads the number: it is told in percent."""


class Unit(StrEnum):
    """What a fact's value is."""

    SHARE = "share"  # 0 to 1: `part` of `whole`
    COUNT = "count"
    MS = "ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`value` is None where the record has no data; `entries` are indices; `against` names what
    keeps a share below 1.
    """

    name: str
    unit: Unit
    zone: str
    value: float | None
    part: int
    whole: int
    entries: tuple[int, ...]
    against: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The value as people read it."""
        if self.value is None:
            return "no data"
        if self.unit == Unit.SHARE:
            many = self.whole > MANY
            return f"{100 * self.value:.2f} %" if many else f"{self.part} of {self.whole}"
        return f"{self.value / 1000:.1f} s" if self.unit == Unit.MS else str(self.part)


def limit_words(unit: Unit, value: float) -> str:
    """A limit of a fact as people read it."""
    if unit == Unit.SHARE:
        return f"{100 * value:g} %"
    return f"{value / 1000:g} s" if unit == Unit.MS else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Case:
    """One of the things that a share counts, and the entry that says whether it is good."""

    name: str
    good: bool
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a fact's function found."""

    value: float | None
    part: int
    whole: int
    entries: tuple[int, ...]
    against: tuple[str, ...] = ()


Measure = Callable[[View], Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A fact before it is measured: `reads` are the events it is read from, so that nobody has to
    read others; `zoned` says whether it can be told of one zone alone.
    """

    name: str
    unit: Unit
    zoned: bool
    reads: tuple[str, ...]
    says: str
    measure: Measure


_DECLARED: dict[str, Declaration] = {}


def fact(name: str, unit: Unit, *reads: str, zoned: bool = False) -> Callable[[Measure], Measure]:
    """Declare a fact; what it says is its function's docstring. ValueError where it is declared
    twice.
    """

    def declare(work: Measure) -> Measure:
        if name in _DECLARED:
            raise ValueError(f"fact {name} is declared twice")
        says = " ".join((work.__doc__ or "").split())
        _DECLARED[name] = Declaration(
            name=name, unit=unit, zoned=zoned, reads=reads, says=says, measure=work
        )
        return work

    return declare


def declared() -> Mapping[str, Declaration]:
    """Every fact by its name."""
    return _DECLARED


def share(cases: Iterable[Case]) -> Shown:
    """How many of `cases` are good; those that are not come first among its entries."""
    every = list(cases)
    bad = [c for c in every if not c.good]
    good = [c for c in every if c.good]
    ordered = [*sorted({c.index for c in bad}), *sorted({c.index for c in good}, reverse=True)]
    return Shown(
        value=round(len(good) / len(every), 4) if every else None,
        part=len(good),
        whole=len(every),
        entries=tuple(dict.fromkeys(ordered))[:MAX_ENTRIES],
        against=tuple(sorted({c.name for c in bad}))[:MAX_NAMES],
    )


def count(entries: Sequence[Entry], watched: Sequence[Entry] | None = None) -> Shown:
    """How many there are, the latest first. Where `watched` is given, none is 0 only if it has
    entries, which show that there was somebody who would have recorded one.
    """
    latest = tuple(int(e["index"]) for e in reversed(entries))[:MAX_ENTRIES]
    if not entries and watched is not None:
        shown = tuple(int(e["index"]) for e in watched[-1:])
        return Shown(value=0 if watched else None, part=0, whole=0, entries=shown)
    return Shown(value=len(entries), part=len(entries), whole=len(entries), entries=latest)


def median(values: Sequence[float], entries: Sequence[int]) -> Shown:
    """The median of times in milliseconds; no value where there are none."""
    value = float(statistics.median(values)) if values else None
    shown = tuple(entries)[:MAX_ENTRIES]
    return Shown(value=value, part=len(values), whole=len(values), entries=shown)
