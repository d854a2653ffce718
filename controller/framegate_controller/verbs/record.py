"""The record: read, its signed heads, and proofs that an entry is in it and that it only grew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from framegate.errors import Malformed, Reason, Refused
from framegate.record.events import events
from framegate.record.site_events import REPORT_KIND
from framegate_controller.context import Fleet
from framegate_controller.people.authority import Aim
from framegate_controller.record.ledger import LogProof, checkpoint, position, prove
from framegate_controller.store.ports import EntryQuery, LoggedEntry, Store, Transaction
from framegate_controller.verbs.verb import Call, Outcome, StreamedVerb, Verb
from framegate_proto.v1 import framegate_pb2 as pb

CHUNK: Final = 500
"""Rows of one transaction while the record is read out: others write in between."""
MAX_HEADS: Final = 10_000
"""Signed heads told at once, the newest ones; a year has 9,000 of those that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog(StreamedVerb[int, LoggedEntry]):
    """Entries as they were logged: in order from `first` on, or the newest first.

    `most` of them, 0 for all.
    """

    query: EntryQuery
    first: int
    most: int
    newest_first: bool

    @classmethod
    def parse(cls, request: pb.ReadLogRequest) -> Self:
        """Raises Malformed (USAGE) for an event that is none: of it nothing would ever be there.
        Reports of gateways and lines are no event, and are asked for by their kind.
        """
        if request.event and request.event not in {*events(), REPORT_KIND}:
            hint = "docs/reference/events.md has all of them"
            raise Malformed.of(Reason.USAGE, "an event's name", ascii(request.event[:80]), hint)
        query = EntryQuery(
            device=request.device,
            event=request.event,
            actor=request.actor,
            since_ms=request.since_ms,
        )
        return cls(
            query=query,
            first=request.first,
            most=request.limit,
            newest_first=request.newest_first,
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("audit.read")

    def run(self, tx: Transaction, call: Call) -> Outcome[int]:
        """How long the record is now.

        What is logged later, this look's own entry too, is not read.
        """
        return Outcome(tx.log.size())

    def rows(self, store: Store, fleet: Fleet, start: int) -> Iterator[LoggedEntry]:
        """See `StreamedVerb.rows`."""
        first, below, left = 0 if self.newest_first else self.first, start, self.most or start
        while left > 0:
            most = min(CHUNK, left)
            with store.reading() as tx:
                entries = tx.log.entries(
                    self.query, first=first, below=below, most=most, newest_first=self.newest_first
                )
            yield from entries
            if len(entries) < most:
                return
            left -= len(entries)
            if self.newest_first:
                below = entries[-1].index
            else:
                first = entries[-1].index + 1


@dataclass(frozen=True, slots=True)
class Heads:
    """The signed head over `size` entries, and earlier ones, oldest first."""

    checkpoint: bytes
    earlier: tuple[bytes, ...]
    size: int


@dataclass(frozen=True, slots=True)
class LogHead(Verb[Heads]):
    """The signed head of the record as it stands; with `all_kept`, the earlier ones too."""

    WRITES: ClassVar[bool] = True  # a head that is signed is kept

    all_kept: bool

    @classmethod
    def parse(cls, request: pb.LogHeadRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.all)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("audit.read")

    def run(self, tx: Transaction, call: Call) -> Outcome[Heads]:
        """See `Verb.run`."""
        head, size = checkpoint(tx, call.fleet.keys), tx.log.size()
        earlier = tx.log.heads(size, MAX_HEADS) if self.all_kept else []
        return Outcome(Heads(head, tuple(earlier), size))


@dataclass(frozen=True, slots=True)
class ProvedEntry:
    """An entry's proof, and where asked for, that the record only grew since a head, but for what
    the `restorations` since then lost (`LogPosition`).
    """

    proof: LogProof
    growth: tuple[bytes, ...]
    restorations: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProveLog(Verb[ProvedEntry]):
    """That entry `index` is in the record; with `from_size`, that it only grew since then."""

    WRITES: ClassVar[bool] = True  # as the head

    index: int
    from_size: int
    from_restorations: int

    @classmethod
    def parse(cls, request: pb.ProveLogRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.index, request.from_size, request.from_restorations)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("audit.read", target=f"entry {self.index}")

    def run(self, tx: Transaction, call: Call) -> Outcome[ProvedEntry]:
        """See `Verb.run`."""
        size = tx.log.size()
        try:
            proof = prove(tx, call.fleet.keys, self.index)
        except KeyError as error:
            wanted = f"an entry below {size}"
            raise Refused.of(
                Reason.NOT_FOUND, wanted, self.index, "framegate audit list"
            ) from error
        now = position(tx, proof.checkpoint, self.from_size, self.from_restorations)
        return Outcome(ProvedEntry(proof, now.growth, now.restorations))
