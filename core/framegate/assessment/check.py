"""Whether a control is at work: a fact held against a limit. No data is never a pass."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from framegate.assessment.fact import Fact, limit_words
from framegate.assessment.facts import fact_named, measured
from framegate.assessment.reading import View

DATA: Final = files("framegate.assessment") / "data"
HOUR_MS: Final = 3_600_000


class Status(StrEnum):
    """What a check, or a claim, came to."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"
    NOT_MEASURED = "not-measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`fact` has to be at least `least`, or at most `most`; `empty` is what no data means;
    `following` is the command that shows what to do.
    """

    name: str
    title: str
    fact: str
    least: float | None
    most: float | None
    empty: Status
    following: str

    @property
    def limit(self) -> str:
        """The limit in words."""
        unit = fact_named(self.fact).unit
        if self.least is not None:
            return f"at least {limit_words(unit, self.least)}"
        return f"at most {limit_words(unit, self.most or 0)}"

    def judge(self, fact: Fact) -> Status:
        """What `fact`, which the caller MUST have measured for this check, comes to."""
        if fact.value is None:
            return self.empty
        high = self.least is None or fact.value >= self.least
        low = self.most is None or fact.value <= self.most
        return Status.PASS if high and low else Status.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check and the fact that it was held against."""

    check: Check
    fact: Fact
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every check, and how long evidence of one is good."""

    version: str
    reviewer: str
    reviewed: str
    valid_ms: int
    checks: Mapping[str, Check]


def load_toml(name: str) -> dict[str, Any]:
    """A file of the data beside this module."""
    return tomllib.loads((DATA / name).read_text("utf-8"))


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The checks of this version."""
    body = load_toml("checks.toml")
    checks = {
        name: Check(
            name=name,
            title=c["title"],
            fact=c["fact"],
            least=c.get("least"),
            most=c.get("most"),
            empty=Status(c.get("empty", Status.NOT_MEASURED)),
            following=c["next"],
        )
        for name, c in body["check"].items()
    }
    return Catalogue(
        version=body["version"],
        reviewer=body["reviewer"],
        reviewed=str(body["reviewed"]),
        valid_ms=body["valid_hours"] * HOUR_MS,
        checks=MappingProxyType(checks),
    )


def all_checked(view: View) -> dict[str, Checked]:
    """Every check as of `view`."""
    known = catalogue().checks
    facts = {name: measured(name, view) for name in {c.fact for c in known.values()}}
    return {
        name: Checked(check=c, fact=facts[c.fact], status=c.judge(facts[c.fact]))
        for name, c in known.items()
    }
