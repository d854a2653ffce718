"""What an event of the record says of itself."""

import pytest

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.record.event import Audience, Event, Severity, event
from framegate.record.machine_events import DeviceMoved, ReceiptsRecovered
from framegate.record.people_events import (
    ApprovalTaken,
    OperatorEnabled,
    OperatorRolesChanged,
    SecurityKeyAdded,
    SignInFailed,
)


@pytest.mark.parametrize(
    ("happened", "detail"),
    [
        (
            SignInFailed(subject="x" * 200),
            f"the provider vouches for subject {'x' * 100!r}, who is no operator here",
        ),
        (
            SignInFailed(what="a wrong code", source="10.0.0.1", claimed="an\x1bna"),
            r"a wrong code from 10.0.0.1 as 'an\x1bna'",
        ),
        (SignInFailed(what="a wrong code", source="10.0.0.1"), "a wrong code from 10.0.0.1"),
        (SecurityKeyAdded(label="blue key"), "blue key"),
        (OperatorRolesChanged(operator="o", before=(), after=("a", "b")), "o: none -> a, b"),
        (OperatorEnabled(operator="o"), "o"),
        (
            ApprovalTaken(
                request="1f", summary="s", gateways=("g1", "g2"), approvers=("sara", "erik")
            ),
            "1f: s, for g1, g2, approved by sara, erik",
        ),
        (ReceiptsRecovered(count=3), "3 receipts of a process that ended before it signed them"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_details_that_people_read(happened, detail):
    assert happened.detail == detail and happened.severity == happened.DECLARED.severity


def test_a_machine_that_moves_is_named_and_weighed_by_its_edge():
    def moved(edge: Edge) -> DeviceMoved:
        return DeviceMoved(edge=edge, before=State.TRUSTED, after=State.SUSPECT, why="w")

    assert moved(Edge.CONTRADICTED).severity == Severity.HIGH
    assert moved(Edge.RETIRE).severity == Severity.INFORMATIONAL
    assert moved(Edge.RETIRE).name == Edge.RETIRE.value


def test_a_name_is_declared_once():
    with pytest.raises(ValueError, match="event signed-in is declared twice"):

        @event("signed-in", severity=Severity.LOW, seen_by=Audience.FLEET)
        class Again(Event):
            """Another of the name."""
