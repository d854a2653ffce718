"""Where a fleet stands, all of it as of one time: facts, checks, functions, claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framegate.assessment.check import Checked, all_checked, catalogue
from framegate.assessment.framework import Claimed, claimed, framework_named, frameworks, sayable
from framegate.assessment.maturity import Assessed, Pillar, assess, pillars
from framegate.assessment.reading import Reading, View
from framegate.assessment.statement import Said, said_in

STATED = "posture-stated"
"""The event of a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`size` entries were read, up to `at_ms`; what they show is evidence until `expires_ms`."""

    fleet: str
    size: int
    at_ms: int
    expires_ms: int
    checked: Mapping[str, Checked]
    said: Mapping[str, Said]
    functions: tuple[Assessed, ...]
    pillars: tuple[Pillar, ...]
    claims: Mapping[str, tuple[Claimed, ...]]

    @property
    def entries(self) -> list[int]:
        """Every entry that is named."""
        facts = {index for c in self.checked.values() for index in c.fact.entries}
        return sorted(facts | {s.index for s in self.said.values()})


def standing(reading: Reading, at_ms: int, *, zone: str = "", framework: str = "") -> Standing:
    """What a reading shows at `at_ms`, of a zone where that is named; claims of one framework, or
    of all. Raises Refused (NOT_FOUND) for a framework that is none.
    """
    view = View(reading, at_ms, zone)
    checked = all_checked(view)
    said = said_in(view.rows(STATED), sayable(), at_ms)
    wanted = [framework_named(framework)] if framework else list(frameworks().values())
    functions = assess(checked, said)
    return Standing(
        fleet=reading.fleet,
        size=reading.size,
        at_ms=at_ms,
        expires_ms=at_ms + catalogue().valid_ms,
        checked=checked,
        said=said,
        functions=tuple(functions),
        pillars=tuple(pillars(functions)),
        claims={f.name: tuple(claimed(f, checked, said)) for f in wanted},
    )
