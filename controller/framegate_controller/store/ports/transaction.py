"""A transaction with all repositories, and the store that gives it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from framegate.errors import Reason, Refused
from framegate.record.entry import Act
from framegate.record.event import Event
from framegate_controller.store.ports.controllers import Controllers
from framegate_controller.store.ports.decisions import Decisions
from framegate_controller.store.ports.inspection import Models, Parts, Receipts, Reports
from framegate_controller.store.ports.leases import Leases
from framegate_controller.store.ports.machines import (
    Devices,
    EvidenceKept,
    GatewayProcesses,
    Masks,
    Profiles,
    Rollouts,
    SpentChallenges,
    Tickets,
    TpmMakers,
)
from framegate_controller.store.ports.people import People, Policies, Requests, SettingsKept, Zones
from framegate_controller.store.ports.playbooks import Playbooks
from framegate_controller.store.ports.record import RecordStore
from framegate_controller.store.ports.sinks import Sinks
from framegate_controller.store.ports.sites import SitesKept

CONTROLLER: Final = "controller"
"""The actor of what happens by itself."""


class Moved(Refused):
    """Somebody else changed a value meanwhile: look again and decide again."""

    @classmethod
    def of_what(cls, what: str) -> Moved:
        """That `what` is not as it was looked at."""
        refused = Refused.of(
            Reason.CONFLICT, f"{what} as it was looked at", "changed meanwhile", "try again"
        )
        return cls(refused.failures)


class Transaction(Protocol):
    """One transaction: committed at the end of its block, rolled back by any exception.

    `now_ms` is its one moment. `act` is who acts in it, once the access policy has allowed it;
    `recorded` counts the events by who acts.
    """

    now_ms: int
    act: Act | None
    recorded: int

    devices: Devices
    tickets: Tickets
    challenges: SpentChallenges
    makers: TpmMakers
    gateways: GatewayProcesses
    masks: Masks
    evidence: EvidenceKept
    profiles: Profiles
    rollouts: Rollouts
    people: People
    requests: Requests
    policies: Policies
    zones: Zones
    models: Models
    parts: Parts
    receipts: Receipts
    reports: Reports
    log: RecordStore
    decisions: Decisions
    sinks: Sinks
    sites: SitesKept
    settings: SettingsKept
    playbooks: Playbooks
    leases: Leases
    controllers: Controllers

    def record(self, event: Event, *, by: str = "") -> int:
        """Log what happened, in the transaction of the change it tells of; its index.

        `by` is who did it, by default who acts. Events of who acts carry source, approvals, reason
        and policies.
        """

    def when_committed(self, act: Callable[[], object]) -> None:
        """Do `act` once this transaction is committed; never where it is rolled back.

        It MUST NOT use this transaction, and it is too late for it to fail.
        """

    def revision(self) -> int:
        """The store-wide revision of trust."""

    def raise_revision(self) -> None:
        """The next one: relying parties must see this change. It is one for all changes of a
        transaction, which are seen at once or not at all.
        """

    def leap(self, seen: int, step: int) -> int:
        """Raise the revisions of trust and of firmware by `step`, that of trust from `seen` where
        that is more; the revision of trust.
        """

    def expect_firmware_revision(self) -> None:
        """It is asked for soon: it may be looked up with what is asked before that."""

    def firmware_revision(self) -> int:
        """The revision of what machines are appraised by: profiles, signers, rollouts.

        What was read under it may be remembered; not under 0, which a transaction sees that raised
        it itself and may be undone.
        """

    def raise_firmware_revision(self) -> int:
        """The next one: nobody may go on with what they remember of profiles, signers or
        rollouts.
        """


class Store(Protocol):
    """Where the registry is kept."""

    def writing(self, *, first: bool = False) -> AbstractContextManager[Transaction]:
        """A transaction that may write; one at a time, others wait: in this process behind whoever
        is to be `first`.
        """

    def reading(self) -> AbstractContextManager[Transaction]:
        """A snapshot to read from; waits for nobody, and what is written in it is refused."""

    def close(self) -> None:
        """Close every connection."""
