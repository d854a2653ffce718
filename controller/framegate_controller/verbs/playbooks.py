"""Playbooks: listed, put in force, stopped, tried on the record, and what they did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name
from framegate.machines.playbook_step import StepState
from framegate.playbooks.actions import Action, undo_command
from framegate.playbooks.parse import parse_playbook
from framegate.playbooks.planner import InForce
from framegate.playbooks.playbook import Playbook
from framegate.playbooks.run import Run
from framegate.playbooks.statement import PlaybookStatement
from framegate.registry.playbook import EnabledPlaybook, PlaybookStep
from framegate_controller.context import Fleet
from framegate_controller.people.authority import Aim
from framegate_controller.people.operators import quorum
from framegate_controller.people.playbooks import (
    disable_playbook,
    enable_playbook,
    standing_people,
    statement_of,
)
from framegate_controller.record.playbooks import CHUNK, Replay
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, StreamedVerb, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROWS: Final = 5_000
"""Steps told at once, the latest ones."""
ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class PlaybookView:
    """A playbook as it was signed, who of its people still stands, and how many it takes."""

    enabled: EnabledPlaybook
    statement: PlaybookStatement
    standing: tuple[str, ...]
    quorum: int


def view_of(tx: Transaction, enabled: EnabledPlaybook, fleet: Fleet) -> PlaybookView:
    """`enabled`, verified. Raises Malformed or Refused."""
    statement = statement_of(enabled, fleet.keys)
    return PlaybookView(enabled, statement, standing_people(tx, statement), quorum(tx))


@dataclass(frozen=True, slots=True)
class ListPlaybooks(Verb[list[PlaybookView]]):
    """Every playbook, whether or not it runs."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("playbook.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[PlaybookView]]:
        """See `Verb.run`."""
        return Outcome([view_of(tx, p, call.fleet) for p in tx.playbooks.all()])


@dataclass(frozen=True, slots=True)
class EnablePlaybook(Verb[PlaybookView]):
    """Put a playbook in force, exactly as it was approved."""

    playbook: Playbook
    base: int
    note: str

    @classmethod
    def parse(cls, request: pb.EnablePlaybookRequest) -> Self:
        """Raises Malformed (PLAYBOOK): nobody is asked to approve what is no playbook."""
        return cls(parse_playbook(request.text), request.base, request.note)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        said = f"playbook {self.playbook.name}, mode {self.playbook.mode}"
        return Aim("playbook.enable", target=self.playbook.name, summary=said)

    def run(self, tx: Transaction, call: Call) -> Outcome[PlaybookView]:
        """See `Verb.run`. Raises Refused (CONFLICT)."""
        keys = call.fleet.keys
        enabled = enable_playbook(tx, keys, self.playbook, base=self.base, note=self.note)
        return Outcome(view_of(tx, enabled, call.fleet))


@dataclass(frozen=True, slots=True)
class DisablePlaybook(Verb[PlaybookView]):
    """Stop a playbook at once; putting it in force again takes two."""

    name: str
    why: str

    @classmethod
    def parse(cls, request: pb.DisablePlaybookRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT")
        return cls(parse_name(request.name, "playbook"), request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("playbook.disable", target=self.name, summary=f"stop playbook {self.name}")

    def run(self, tx: Transaction, call: Call) -> Outcome[PlaybookView]:
        """See `Verb.run`. Raises Refused (NOT_FOUND, CONFLICT)."""
        ended = disable_playbook(tx, call.fleet.keys, self.name, self.why)
        return Outcome(view_of(tx, ended, call.fleet))


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step, and the command that undoes it; empty where nothing does, or nothing was done."""

    step: PlaybookStep
    undo: str


@dataclass(frozen=True, slots=True)
class PlaybookHistory(Verb[list[ShownStep]]):
    """What playbooks did, asked for and left alone, the latest first, in zones that one sees."""

    name: str
    since_ms: int
    most: int

    @classmethod
    def parse(cls, request: pb.PlaybookHistoryRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.limit > MAX_ROWS:
            raise Malformed.of(Reason.USAGE, f"at most {MAX_ROWS} steps", request.limit)
        return cls(request.name, request.since_ms, request.limit or ROWS)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("playbook.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[ShownStep]]:
        """See `Verb.run`."""
        steps = tx.playbooks.history(self.name, self.since_ms, self.most)
        return Outcome([_shown(s) for s in steps if call.sees(s.zone)])


def _shown(step: PlaybookStep) -> ShownStep:
    done, action = step.state == StepState.DONE, Action(step.action)
    model = step.why if action == Action.ROLL_BACK_MODEL else ""
    return ShownStep(step, undo_command(action, step.target, model) if done else "")


@dataclass(frozen=True, slots=True)
class SimulatePlaybook(StreamedVerb[Replay, Run]):
    """What a playbook would have answered since a time, had it been in force; changes nothing.

    The record is replayed by the code that follows it when a playbook acts, with every other
    playbook that was in force.
    """

    playbook: Playbook
    since_ms: int

    @classmethod
    def parse(cls, request: pb.SimulatePlaybookRequest) -> Self:
        """Raises Malformed (PLAYBOOK)."""
        return cls(parse_playbook(request.text), request.since_ms)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("playbook.simulate", target=self.playbook.name)

    def run(self, tx: Transaction, call: Call) -> Outcome[Replay]:
        """See `Verb.run`."""
        people = frozenset({call.caller.name})
        candidate = InForce(playbook=self.playbook, revision=0, people=people)
        return Outcome(Replay(call.fleet, candidate, self.since_ms))

    def rows(self, store: Store, fleet: Fleet, start: Replay) -> Iterator[Run]:
        """See `StreamedVerb.rows`."""
        with store.reading() as tx:
            size = tx.log.size()
        for first in range(0, size, CHUNK):
            with store.reading() as tx:
                runs = start.read(tx, first, min(size, first + CHUNK))
            yield from (r for r in runs if r.playbook == self.playbook.name)
