"""Every fact there is: importing this module declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# importing declares
from framegate.assessment import care, machines, people, sites  # noqa: F401
from framegate.assessment.fact import Declaration, Fact, declared
from framegate.assessment.reading import View
from framegate.errors import Malformed, Reason

CHANGES = "*changes"
"""Stands in `reads` for the events of every verb that takes two people."""


def facts() -> Mapping[str, Declaration]:
    """Every fact by its name, in the order of declaration."""
    return declared()


def fact_named(name: str) -> Declaration:
    """Raises Malformed (USAGE), naming those that are near."""
    known = facts().get(name)
    if known is None:
        near = [n for n in facts() if name[:5] and n.startswith(name[:5])] or list(facts())
        wanted = f"a fact: {', '.join(near[:8])}"
        hint = "docs/reference/assessment.md has all of them"
        raise Malformed.of(Reason.USAGE, wanted, ascii(name[:60]), hint)
    return known


def measured(name: str, view: View) -> Fact:
    """One fact as of `view`, of the fleet where it cannot be told of a zone. Raises Malformed."""
    known = fact_named(name)
    zone = view.zone if known.zoned else ""
    shown = known.measure(View(view.reading, view.at_ms, zone))
    return Fact(
        name=name,
        unit=known.unit,
        zone=zone,
        value=shown.value,
        part=shown.part,
        whole=shown.whole,
        entries=shown.entries,
        against=shown.against,
    )


def all_measured(view: View, names: Iterable[str] = ()) -> dict[str, Fact]:
    """Those named, or every fact."""
    return {name: measured(name, view) for name in (names or facts())}
