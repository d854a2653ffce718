"""What a rule says: who, by which entries, and what in words."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.behaviour.rules import RuleName


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """A rule was met at `at_ms`, by entries from `first` to `last` of the record; `count` is how
    much it was, `kind` tells the rule's ways apart.
    """

    last: int
    rule: RuleName
    kind: str
    person: str
    first: int
    at_ms: int
    count: int
    what: str
