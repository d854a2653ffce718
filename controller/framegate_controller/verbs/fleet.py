"""The fleet at a glance: how many machines stand where, what happened, what a result rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Reason, Refused
from framegate.identity.names import split_device_id
from framegate.machines.lifecycle import State
from framegate.record.events import events
from framegate.registry.evidence import KeptResult
from framegate_controller.events.bus import Listening
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import EntryQuery, LoggedEntry, Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_EVENTS: Final = 1000
DEFAULT_EVENTS: Final = 50
LOOKED_THROUGH: Final = 20
"""So many entries for each one wanted are looked at for whoever sees a few zones only."""
ROUTINE: Final = tuple(name for name, event in events().items() if event.DECLARED.routine)
"""What tells that all is as ever; `framegate audit list` has it."""
_ID_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class FleetView:
    """How many machines stand in each state, the revision of trust, and who listens here."""

    states: Mapping[State, int]
    revision: int
    listening: Listening


@dataclass(frozen=True, slots=True)
class FleetStatus(Verb[FleetView]):
    """How many machines stand where."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("fleet.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[FleetView]:
        """See `Verb.run`."""
        states: Counter[State] = Counter()
        for row in tx.devices.census():
            if call.sees(row.zone):
                states[row.state] += row.count
        return Outcome(FleetView(states, tx.revision(), call.bus.listening))


@dataclass(frozen=True, slots=True)
class Events(Verb[list[LoggedEntry]]):
    """The latest events, newest first, of one machine or of all; what machines do as a matter of
    course only with `everything`.

    Those of people and of the fleet as a whole are for whoever sees all zones.
    """

    device: str
    most: int
    everything: bool

    @classmethod
    def parse(cls, request: pb.EventsRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.device, min(request.limit or DEFAULT_EVENTS, MAX_EVENTS), request.all)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("events.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[LoggedEntry]]:
        """See `Verb.run`."""
        zones, size = call.allowed.zones, tx.log.size()
        most = self.most if zones is None else self.most * LOOKED_THROUGH
        query = self._query(tx)
        entries = tx.log.entries(query, first=0, below=size, most=most, newest_first=True)
        seen = [e for e in entries if zones is None or _zone_of(e) in zones]
        return Outcome(seen[: self.most])

    def _query(self, tx: Transaction) -> EntryQuery:
        device = tx.devices.find(self.device).id if self.device else ""
        return EntryQuery(
            kind="event", device=device, but_events=() if self.everything else ROUTINE
        )


def _zone_of(entry: LoggedEntry) -> str:
    """The zone of the machine an entry is about, empty where it is about none."""
    parts = entry.device.split(".")
    return parts[1] if len(parts) == _ID_PARTS else ""


@dataclass(frozen=True, slots=True)
class ShowResult(Verb[KeptResult]):
    """What a receipt's result id stands for: the quote, and the profile it was appraised under."""

    identifier: str

    @classmethod
    def parse(cls, request: pb.ResultRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.result_id)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("result.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[KeptResult]:
        """See `Verb.run`.

        Whoever does not see the zone is told as little as of an id that is none.
        """
        result = tx.evidence.result(self.identifier)
        if result is None or not call.sees(split_device_id(result.device).zone):
            hint, asked = "framegate receipt show ID names it", ascii(self.identifier[:80])
            raise Refused.of(
                Reason.NOT_FOUND, "an affirming result's id, or its unique beginning", asked, hint
            )
        return Outcome(result)
