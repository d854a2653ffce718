"""The ten rules, as data: what each is called, how much it asks of people, and its limits.

They are for tens of people, of whom there is too little to learn from: a rule that one can read is
better than a score that nobody can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from framegate.access.verbs import verbs
from framegate.behaviour.windows import Limit
from framegate.record.event import Severity

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


_ONCE: Final = Limit(1, DAY)
_THREE_AN_HOUR: Final = Limit(3, HOUR)
_FIVE_AN_HOUR: Final = Limit(5, HOUR)
_THREE_A_WEEK: Final = Limit(3, 7 * DAY)


class RuleName(StrEnum):
    """The rules by name; names are wire values and never change."""

    FAILURES_THEN_SUCCESS = "failures-then-success"
    FIRST_SEEN = "first-seen"
    ODD_HOURS = "odd-hours"
    EXPORTS = "exports"
    DENIALS = "denials"
    EACH_OTHER = "approving-each-other"
    BREAK_GLASS = "break-glass"
    DORMANT = "dormant-account"
    FREEZE = "change-in-a-freeze"
    TWO_SITES = "two-sites"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for people: `summary` is what it means, `ask` what to ask, `benign` what meets it
    though nobody does wrong.
    """

    name: RuleName
    severity: Severity
    title: str
    summary: str
    ask: str
    benign: str


RULES: Final[Mapping[RuleName, Rule]] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule(
                RuleName.FAILURES_THEN_SUCCESS,
                Severity.HIGH,
                "A sign-in after many that failed",
                "As many failures as a guesser needs, and then the right password and code.",
                "Was it you, and from this address? Else end the sessions and reset the factors.",
                "Somebody who came back from a holiday and tried every password they ever had.",
            ),
            Rule(
                RuleName.FIRST_SEEN,
                Severity.LOW,
                "An address, site or heavy verb for the first time",
                "Somebody whose habits are known comes from a network, or does something that takes"
                " a fresh factor or two people, that they never did in 90 days.",
                "Why from there, why this, why now?",
                "A new task, a new office, a line that moved.",
            ),
            Rule(
                RuleName.ODD_HOURS,
                Severity.LOW,
                "At an hour that is not theirs",
                "Somebody acts at an hour, give or take two, at which they did on at most one of"
                " the last sixty days.",
                "What was urgent?",
                "A fault at night, a shift that was swapped.",
            ),
            Rule(
                RuleName.EXPORTS,
                Severity.HIGH,
                "Many frames leave",
                "One person takes out more frames, or takes them more often, than work needs.",
                "For whom, and where are they now?",
                "A data set for a new model: ask for it once, as one.",
            ),
            Rule(
                RuleName.DENIALS,
                Severity.MEDIUM,
                "No, again and again",
                "The access policy refuses one person many times, or many kinds of things.",
                "What were you after?",
                "A script with an old role.",
            ),
            Rule(
                RuleName.EACH_OTHER,
                Severity.MEDIUM,
                "Two who approve each other, and nobody else does",
                "Within a week each approved three requests of the other, and nobody else one of"
                " either: four eyes that are two.",
                "Let a third look at what was approved.",
                "Two people alone on a shift; a fleet that has no third.",
            ),
            Rule(
                RuleName.BREAK_GLASS,
                Severity.CRITICAL,
                "A sealed credential was opened",
                "Whoever opened it is admin and security for an hour.",
                "Who has the envelope, and what was the emergency?",
                "A drill.",
            ),
            Rule(
                RuleName.DORMANT,
                Severity.MEDIUM,
                "An account that slept wakes up",
                "Nobody used it for 45 days, and now somebody does.",
                "Are you back? Else disable it.",
                "Parental leave.",
            ),
            Rule(
                RuleName.FREEZE,
                Severity.HIGH,
                "A change in a freeze",
                "A change in a zone that is frozen, or by whoever thawed it minutes before; or"
                " three tries of one.",
                "Who agreed to it?",
                "A repair that could not wait: thaw with the reason, and freeze again.",
            ),
            Rule(
                RuleName.TWO_SITES,
                Severity.HIGH,
                "At two sites in too short a time",
                "One person acts from two of the sites that were named, sooner than one gets from"
                " one to the other.",
                "Who else has your session or your factors?",
                "A VPN that ends at another site: name its network.",
            ),
        )
    }
)


def _of_groups(*groups: str) -> frozenset[str]:
    return frozenset(n for n, verb in verbs().items() if set(verb.groups) & set(groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit of the rules, with its reason. The defaults are what the ten rules are."""

    failures: tuple[Limit, ...] = (Limit(5, 10 * MINUTE), Limit(15, DAY))
    """Password managers and fat fingers need three; nobody needs fifteen in a day."""
    folded_ms: int = 65_000
    """Failures are recorded together up to a minute later, when whoever guessed may be in already:
    those count as before the sign-in."""
    known_ms: int = 90 * DAY
    """What was not done for a quarter is new again."""
    habit_ms: int = 14 * DAY
    """Before somebody has been here two weeks, all is new and nothing is told."""
    habit_deeds: int = 20
    hours_ms: int = 60 * DAY
    """Two turns of the longest rota."""
    hours_days: int = 25
    """Days on which somebody has acted before their hours are known: five weeks of shifts."""
    hour_days: int = 2
    """Days on which an hour was theirs, before it is: so that nobody gets used to it in a night."""
    exports: tuple[Limit, ...] = (Limit(5, HOUR), Limit(15, DAY), Limit(40, 7 * DAY))
    frames: tuple[Limit, ...] = (Limit(400, DAY), Limit(1000, 7 * DAY))
    dataset_frames: int = 100
    """What a data set is taken for where the record does not say how much it was: as many as one
    has by default."""
    denials: tuple[Limit, ...] = (Limit(10, 15 * MINUTE), Limit(30, DAY))
    denied_verbs: Limit = _FIVE_AN_HOUR
    each_other: Limit = _THREE_A_WEEK
    break_glass: Limit = _ONCE
    dormant_ms: int = 45 * DAY
    """Longer than anybody's holiday."""
    after_thaw_ms: int = 15 * MINUTE
    frozen_tries: Limit = _THREE_AN_HOUR
    between_sites_ms: int = 30 * MINUTE
    hold_ms: int = HOUR
    """Between two findings of the same kind about one person."""
    heavy: frozenset[str] = field(default_factory=lambda: _of_groups("two-person", "fresh"))
    changes: frozenset[str] = field(default_factory=lambda: _of_groups("change"))
    taken_out: Mapping[str, bool] = field(
        default_factory=lambda: MappingProxyType({"frame.export": False, "dataset.export": True})
    )
    """Verbs that take frames out; True for many at once."""
