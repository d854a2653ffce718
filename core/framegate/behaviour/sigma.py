"""The rules as Sigma rules (version 2.1), with correlations where Sigma has words for them: as YAML
that any converter reads.

What Sigma cannot say, a person's own habits, is a rule on Framegate's own finding.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from framegate.behaviour.deed import FINDING
from framegate.behaviour.rules import RULES, Limits, RuleName
from framegate.behaviour.windows import Limit
from framegate.errors import Reason
from framegate.record.event import Severity

_IDS: Final = uuid.UUID("6f0f1c3e-2c57-5d7e-9a56-5b1c8a1d1f0e")
"""Under which every rule has an id that never changes."""
_LEVELS: Final = {
    Severity.LOW: "low",
    Severity.MEDIUM: "medium",
    Severity.HIGH: "high",
    Severity.CRITICAL: "critical",
}
_SOURCE: Final = {"product": "framegate", "service": "record"}
_SPANS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def sigma_rules(limits: Limits | None = None) -> dict[RuleName, list[dict[str, Any]]]:
    """For each rule its documents: the rules it looks at, and what correlates them."""
    limits = limits or Limits()
    documents = {name: [_own(name)] for name in RULES}
    documents[RuleName.FAILURES_THEN_SUCCESS] += _failures(limits)
    documents[RuleName.EXPORTS] += _counted(
        RuleName.EXPORTS, {"event": "approval-taken"}, limits.exports
    )
    documents[RuleName.DENIALS] += [
        *_counted(RuleName.DENIALS, {"event": "denied"}, limits.denials),
        _correlation(
            f"{RuleName.DENIALS}-verbs",
            RuleName.DENIALS,
            "value_count",
            [f"framegate-{RuleName.DENIALS}-base"],
            limits.denied_verbs,
            field="members.verb",
        ),
    ]
    documents[RuleName.BREAK_GLASS] += _counted(
        RuleName.BREAK_GLASS, {"event": "break-glass-used"}, (limits.break_glass,)
    )
    documents[RuleName.FREEZE] += _counted(
        RuleName.FREEZE,
        {"event": "denied", "members.reason": Reason.ZONE_FROZEN.value},
        (limits.frozen_tries,),
    )
    return documents


def yaml_of(documents: Sequence[Mapping[str, Any]]) -> str:
    """Documents as YAML; every text is quoted as JSON has it, which YAML reads alike."""
    return "---\n".join("\n".join(_lines(d, 0)) + "\n" for d in documents)


def _own(name: RuleName) -> dict[str, Any]:
    """The rule on Framegate's own finding."""
    return {
        **_head(f"framegate-{name}", name, RULES[name].title),
        "logsource": _SOURCE,
        "detection": {
            "selection": {"event": FINDING, "members.rule": name.value},
            "condition": "selection",
        },
        "falsepositives": [RULES[name].benign],
        "level": _LEVELS[RULES[name].severity],
    }


def _failures(limits: Limits) -> Iterator[dict[str, Any]]:
    name = RuleName.FAILURES_THEN_SUCCESS
    failed, came = f"framegate-{name}-failed", f"framegate-{name}-came"
    yield _base(failed, name, {"event": "sign-in-failed"})
    yield _base(came, name, {"event": "signed-in"})
    for number, limit in enumerate(limits.failures, start=1):
        counted = f"{name}-count-{number}"
        yield _correlation(counted, name, "event_count", [failed], limit)
        parts = [f"framegate-{counted}", came]
        yield _correlation(f"{name}-{number}", name, "temporal_ordered", parts, limit)


def _counted(
    name: RuleName, selection: Mapping[str, str], limits: Sequence[Limit]
) -> Iterator[dict[str, Any]]:
    base = f"framegate-{name}-base"
    yield _base(base, name, selection)
    for number, limit in enumerate(limits, start=1):
        yield _correlation(f"{name}-{number}", name, "event_count", [base], limit)


def _base(title: str, name: RuleName, selection: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_head(title, name, f"Part of: {RULES[name].title}"),
        "logsource": _SOURCE,
        "detection": {"selection": dict(selection), "condition": "selection"},
        "level": "informational",
    }


def _correlation(
    title: str,
    name: RuleName,
    kind: str,
    rules: Sequence[str],
    limit: Limit,
    field: str = "",
) -> dict[str, Any]:
    correlation: dict[str, Any] = {
        "type": kind,
        "rules": list(rules),
        "group-by": ["actor"],
        "timespan": _span(limit.within_ms),
    }
    if kind != "temporal_ordered":
        condition: dict[str, Any] = {"gte": limit.least}
        correlation["condition"] = {**condition, "field": field} if field else condition
    return {
        **_head(f"framegate-{title}", name, RULES[name].title),
        "correlation": correlation,
        "falsepositives": [RULES[name].benign],
        "level": _LEVELS[RULES[name].severity],
    }


def _head(title: str, name: RuleName, words: str) -> dict[str, Any]:
    return {
        "title": words,
        "id": str(uuid.uuid5(_IDS, title)),
        "name": title,
        "status": "stable",
        "description": RULES[name].summary,
        "author": "Framegate",
    }


def _span(ms: int) -> str:
    """A timespan in Sigma's words, in the largest unit that divides it."""
    return next(f"{ms // unit}{letter}" for unit, letter in _SPANS if ms % unit == 0)


def _lines(value: Any, depth: int) -> Iterator[str]:
    pad = "    " * depth
    for name, member in value.items():
        if isinstance(member, Mapping):
            yield f"{pad}{name}:"
            yield from _lines(member, depth + 1)
        elif isinstance(member, list):
            yield f"{pad}{name}:"
            yield from (f"{pad}    - {json.dumps(each)}" for each in member)
        else:
            yield f"{pad}{name}: {json.dumps(member)}"
