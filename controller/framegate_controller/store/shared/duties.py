"""The other controllers of a store: what they are told, and whose the duties of a fleet are.

What a fleet needs once, and not once a controller, is a duty: timers of rollouts, playbooks,
incidents, sinks. One controller has it; where that one falls silent another takes it over. Whoever
was away and comes back finds its token outdated, and none of its transactions commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from framegate_controller.store.ports import Moved, Store, Transaction
from framegate_controller.store.ports.leases import Lease

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ears:
    """Who listens to the others, called from any thread: `heard` with every text that another
    controller told; `missed` where some may not have come.
    """

    heard: Callable[[str], None]
    missed: Callable[[], None]


class Peers(Protocol):
    """The other controllers of this controller's store; `alone` where there can be none."""

    alone: bool

    def start(self, duties: frozenset[str], ears: Ears) -> None:
        """Listen, and have a share of the duties. Raises Refused (CONFLICT) where another
        controller has this one's name, or the registry is being restored; Unavailable.
        """

    def tell(self, text: str) -> None:
        """Tell every other controller; its length is at most `MAX_TOLD`."""

    def lease(self, duty: str) -> Lease | None:
        """This controller's lease of a duty now, None where another has it, or nobody knows."""

    def stop(self) -> None:
        """Give the duties back, and listen no more."""


MAX_TOLD = 7_900
"""Bytes of one text: PostgreSQL takes 8,000."""


class NoPeers:
    """There is one controller, which has every duty."""

    alone = True

    def start(self, duties: frozenset[str], ears: Ears) -> None:
        """Nobody is there."""

    def tell(self, text: str) -> None:
        """Nobody hears it."""

    def lease(self, duty: str) -> Lease | None:
        """Every one, without a token."""
        return Lease(duty)

    def stop(self) -> None:
        """Nothing was begun."""


class DutyStore:
    """A store as whoever does a duty sees it: nothing is written that somebody else has to write by
    now.
    """

    def __init__(self, store: Store, peers: Peers, duty: str) -> None:
        self._store, self._peers, self._duty = store, peers, duty

    @contextmanager
    def writing(self, *, first: bool = False) -> Iterator[Transaction]:
        """As of the store; the duty is this controller's. Raises Moved."""
        lease = self._peers.lease(self._duty)
        if lease is None:
            raise Moved.of_what(f"the duty {self._duty!r} of this controller")
        with self._store.writing(first=first) as tx:
            if lease.token:
                tx.leases.require(lease)
            yield tx

    def reading(self) -> AbstractContextManager[Transaction]:
        """As of the store."""
        return self._store.reading()

    def close(self) -> None:
        """The store is not this one's to close."""


class Duty(Generic[T]):
    """Work that one controller does, and what it remembers of it: made anew whenever the duty comes
    to this controller, as another may have gone on since.
    """

    def __init__(self, store: Store, peers: Peers, name: str, make: Callable[[Store], T]) -> None:
        self._peers, self._make, self.name = peers, make, name
        self._store = DutyStore(store, peers, name)
        self._worker: T | None = None
        self._token = -1

    def worker(self) -> T | None:
        """Who does it here now; None where another controller does."""
        lease = self._peers.lease(self.name)
        if lease is None:
            self._worker = None
            return None
        if self._worker is None or lease.token != self._token:
            self._worker, self._token = self._make(self._store), lease.token
        return self._worker
