"""Sinks of the record: where its entries are sent, and how far each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import parse_name
from framegate.ocsf.logged import OcsfVersion
from framegate.record.sink_events import SinkAdded, SinkRemoved, SinkTested
from framegate.registry.sink import MAX_SINKS, Sink, SinkKind, parse_address, parse_channel
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

E = TypeVar("E", SinkKind, OcsfVersion)


@dataclass(frozen=True, slots=True)
class SinksView:
    """Every sink, and how many entries the record has."""

    sinks: tuple[Sink, ...]
    size: int


@dataclass(frozen=True, slots=True)
class ListSinks(Verb[SinksView]):
    """Where the record is sent, and how far each sink is."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("siem.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[SinksView]:
        """See `Verb.run`."""
        return Outcome(SinksView(tuple(tx.sinks.all()), tx.log.size()))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSink(Verb[Sink]):
    """Send the record to one place more: all of it, or what comes from now on."""

    name: str
    kind: SinkKind
    address: str
    channel: str
    version: OcsfVersion
    from_now: bool

    @classmethod
    def parse(cls, request: pb.AddSinkRequest) -> Self:
        """Raises Malformed (USAGE)."""
        kind = _one_of(SinkKind, request.kind, "a kind of sink")
        return cls(
            name=parse_name(request.name, "sink"),
            kind=kind,
            address=parse_address(kind, request.address),
            channel=parse_channel(kind, request.channel),
            version=_one_of(OcsfVersion, request.ocsf or OcsfVersion.V1_8, "a version of OCSF"),
            from_now=request.from_now,
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        since = "from now on" if self.from_now else "all of it"
        where = f"{self.kind} {self.address} {self.channel}".strip()
        told = f"send the record, {since}, to {self.name}: {where}"
        return Aim("siem.add", target=self.name, summary=told)

    def run(self, tx: Transaction, call: Call) -> Outcome[Sink]:
        """See `Verb.run`."""
        if tx.sinks.get(self.name) is not None:
            hint = f"framegate siem remove {self.name}"
            raise Refused.of(Reason.CONFLICT, f"no sink called {self.name} yet", "one", hint)
        if len(tx.sinks.all()) >= MAX_SINKS:
            wanted, hint = f"at most {MAX_SINKS} sinks", "framegate siem remove NAME"
            raise Refused.of(Reason.CONFLICT, wanted, "one more", hint)
        first = tx.log.size() if self.from_now else 0
        sink = Sink(
            name=self.name,
            kind=self.kind,
            address=self.address,
            channel=self.channel,
            version=self.version,
            first=first,
            confirmed=first,
            by=call.actor,
            added_ms=tx.now_ms,
        )
        tx.sinks.put(sink)
        tx.record(SinkAdded(sink=self.name, sink_kind=self.kind, address=self.address, first=first))
        return Outcome(sink)


@dataclass(frozen=True, slots=True)
class RemoveSink(Verb[Sink]):
    """Send the record to a place no more."""

    name: str

    @classmethod
    def parse(cls, request: pb.SinkRequest) -> Self:
        """Raises Malformed (USAGE)."""
        return cls(parse_name(request.name, "sink"))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim(
            "siem.remove", target=self.name, summary=f"send the record to {self.name} no more"
        )

    def run(self, tx: Transaction, call: Call) -> Outcome[Sink]:
        """See `Verb.run`."""
        sink = _known(tx, self.name)
        tx.sinks.remove(self.name)
        tx.record(SinkRemoved(sink=self.name, confirmed=sink.confirmed))
        return Outcome(sink)


@dataclass(frozen=True, slots=True)
class TestSink(Verb[int]):
    """Record an entry that a sink has to confirm; its index.

    It goes the way of all entries: what confirms it would have confirmed any other.
    """

    WRITES: ClassVar[bool] = True
    __test__: ClassVar[bool] = False

    name: str

    @classmethod
    def parse(cls, request: pb.SinkRequest) -> Self:
        """Raises Malformed (USAGE)."""
        return cls(parse_name(request.name, "sink"))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("siem.test", target=self.name)

    def run(self, tx: Transaction, call: Call) -> Outcome[int]:
        """See `Verb.run`."""
        _known(tx, self.name)
        return Outcome(tx.record(SinkTested(sink=self.name)))


def _known(tx: Transaction, name: str) -> Sink:
    sink = tx.sinks.get(name)
    if sink is None:
        raise Refused.of(Reason.NOT_FOUND, "a sink of this fleet", name, "framegate siem list")
    return sink


def _one_of(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        wanted = f"{what}: {', '.join(kind)}"
        raise Malformed.of(Reason.USAGE, wanted, ascii(value[:30])) from error
