"""What a controller asks of its store: repositories of frozen values, gathered on a transaction.

Nothing above this room knows a database. A `Transaction` commits as a whole or not at all; its
values are frozen, so a change is a new value that is put back. Reads see the transaction's own
writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId, Kind
from framegate.ima.allowlist import Allowlist
from framegate.machines.lifecycle import State
from framegate.machines.request import RequestKind, RequestState
from framegate.machines.rollout import RolloutState, Seen
from framegate.record.entry import Act
from framegate.record.event import Event
from framegate.registry.device import CameraMasks, Device, GatewayProcess, TpmMaker
from framegate.registry.evidence import KeptEvidence, KeptResult
from framegate.registry.model import Model, Part, ReceiptBatchEntry, ZonePin
from framegate.registry.operator import Operator, OperatorSession, SecurityKey
from framegate.registry.request import AccessRequest
from framegate.registry.rollout import (
    ProfileInForce,
    ProfileRevision,
    RevokedSigner,
    RolloutDevice,
    RolloutRecord,
)
from framegate.registry.ticket import Ticket
from framegate.registry.zone import AppliedPolicy, KeptDecision, Zone

CONTROLLER: Final = "controller"
"""The actor of what happens by itself."""


class Moved(Refused):
    """Somebody else changed a value meanwhile: look again and decide again."""

    @classmethod
    def of_what(cls, what: str) -> Moved:
        """That `what` is not as it was looked at."""
        made = Refused.of(
            Reason.CONFLICT, f"{what} as it was looked at", "changed meanwhile", "try again"
        )
        return cls(made.failures)


@dataclass(frozen=True, slots=True)
class Census:
    """How many machines of a kind stand in a state, in one zone."""

    zone: str
    kind: Kind
    state: State
    count: int


class Devices(Protocol):
    """Machines. `find` and `get` raise nothing but what is said; ids are `<kind>.<zone>.<name>`."""

    def get(self, device: str) -> Device | None:
        """By id."""

    def find(self, text: str, kind: str = "") -> Device:
        """With this id or name, or the only one it is a prefix of. Raises Refused (NOT_FOUND,
        USAGE).
        """

    def named(self, name: str) -> Device | None:
        """By name."""

    def by_ek(self, ek_sha256: bytes) -> Device | None:
        """The one that joined with this EK."""

    def by_tls_key(self, spki_sha256: bytes) -> Device | None:
        """The one whose present TLS key this is."""

    def owners(self, ek_sha256: bytes, ak_name: bytes) -> list[Device]:
        """Those that have this EK or this AK."""

    def all(
        self, *, kind: str = "", zone: str = "", profile: str = "", states: Sequence[State] = ()
    ) -> list[Device]:
        """Those that match every condition given, by zone and name."""

    def ids(
        self,
        *,
        kind: str = "",
        zone: str = "",
        profile: str = "",
        states: Sequence[State] = (),
        but: Sequence[State] = (),
    ) -> list[DeviceId]:
        """Their ids alone; `but` leaves out what stands in those states."""

    def count(self, profile: str) -> int:
        """How many machines name this profile, retired ones left out."""

    def census(self) -> list[Census]:
        """All machines, counted."""

    def results(self) -> list[tuple[DeviceId, int]]:
        """(id, time of its last result in ms) of every trusted machine."""

    def unaware(self, since_ms: int) -> int:
        """How many trusted machines have no result after `since_ms`."""

    def maintenance_over(self, now_ms: int) -> list[Device]:
        """Those whose maintenance has ended by its time and is not marked so."""

    def add(self, device: Device) -> None:
        """A new one."""

    def put(self, device: Device) -> Device:
        """Keep a changed value; returns it with its new `version`. Raises Moved where somebody
        changed it since it was read.
        """

    def remove(self, device: str) -> None:
        """Forget a row, so that its name is free."""


class Tickets(Protocol):
    """Tickets to join, by the hash of their code."""

    def get(self, code_sha256: bytes) -> Ticket | None:
        """By hash."""

    def add(self, ticket: Ticket) -> None:
        """A new one; a device has at most one, so an earlier one of the device is gone."""

    def put(self, ticket: Ticket) -> None:
        """Keep a changed value."""

    def remove_of(self, device: str) -> None:
        """Forget a device's tickets."""


class SpentChallenges(Protocol):
    """Challenge ids that were answered, until they would have expired anyway."""

    def spend(self, challenge: bytes, expires_ms: int) -> None:
        """Raises Refused (SESSION_UNKNOWN) where it was spent before, at whatever controller."""

    def forget(self, now_ms: int) -> None:
        """Those that have expired: they open nothing any more."""


class TpmMakers(Protocol):
    """TPM makers' CAs."""

    def get(self, sha256: bytes) -> TpmMaker | None:
        """By the hash of its certificate."""

    def all(self) -> list[TpmMaker]:
        """By subject."""

    def add(self, maker: TpmMaker) -> None:
        """A new one."""


class GatewayProcesses(Protocol):
    """Gateway processes that hosts vouch for."""

    def of_host(self, host: str) -> list[GatewayProcess]:
        """Those of one host."""

    def of_zone(self, zone: str) -> list[tuple[GatewayProcess, Device]]:
        """Those of a zone, each with its host."""

    def replace(self, host: str, processes: Sequence[GatewayProcess]) -> None:
        """From now on the host vouches for exactly these."""


class Masks(Protocol):
    """Privacy masks of cameras."""

    def get(self, device: str) -> CameraMasks | None:
        """Those in force."""

    def put(self, masks: CameraMasks) -> None:
        """In force from now on."""


class EvidenceKept(Protocol):
    """Evidence, results, boot logs, IMA lists, allowlists: what it takes to look at a decision
    again.
    """

    def get(self, identifier: str) -> KeptEvidence | None:
        """By id."""

    def last(self, device: str) -> KeptEvidence | None:
        """What the device's last evidence that verified was."""

    def last_content(self, device: str) -> tuple[str, bytes] | None:
        """(id, digest of the content) of the device's last evidence that verified."""

    def ids_since(
        self, since_ms: int, *, device: str = "", profile: str = ""
    ) -> list[tuple[str, str]]:
        """(id, zone) of evidence seen since, of one device, or of a profile's devices; by device
        and time.
        """

    def add(self, evidence: KeptEvidence) -> None:
        """New evidence."""

    def seen_again(self, identifier: str, ear: str, now_ms: int) -> None:
        """The same came once more; `ear` is the result of this time, signed."""

    def prune(self, device: str, before_ms: int) -> None:
        """Forget a device's evidence last seen before."""

    def result(self, identifier: str) -> KeptResult | None:
        """An affirming result by its id."""

    def add_result(self, result: KeptResult) -> None:
        """A new one."""

    def boot_log(self, sha256: bytes) -> bytes | None:
        """A boot log by its digest."""

    def keep_boot_log(self, sha256: bytes, log: bytes) -> None:
        """Keep it; the same bytes again change nothing."""

    def ima_list(self, device: str, reset_count: int, restart_count: int, entries: int) -> bytes:
        """The first `entries` entries of a boot's verified list, binary; empty where they are not
        kept any more.
        """

    def keep_ima(
        self,
        device: str,
        reset_count: int,
        restart_count: int,
        start: int,
        entries: int,
        content: bytes,
    ) -> None:
        """Entries from `start` on; from 0 they replace what was kept of this boot, and boots that
        no evidence names are forgotten.
        """

    def has_allowlist(self, sha256: bytes) -> bool:
        """Whether an IMA allowlist with this digest is kept."""

    def allowlist(self, sha256: bytes) -> Allowlist | None:
        """An IMA allowlist by its digest. Raises Refused (ALLOWLIST) where the row was edited."""

    def add_allowlist(self, content: bytes, now_ms: int) -> Allowlist:
        """Keep an allowlist by its digest; the same bytes again change nothing. Raises
        Malformed.
        """


class Profiles(Protocol):
    """Firmware profiles, as signed envelopes; whoever reads one verifies it."""

    def in_force(self, name: str) -> ProfileInForce | None:
        """The revision in force."""

    def put_in_force(self, profile: ProfileInForce) -> None:
        """In force from now on."""

    def names(self) -> list[str]:
        """Of all that are in force."""

    def revision(self, name: str, revision: int) -> ProfileRevision | None:
        """A revision that was imported."""

    def newest(self, name: str) -> int:
        """The highest revision imported, 0 where there is none."""

    def revisions(self) -> list[ProfileRevision]:
        """All, by name, newest first."""

    def add_revision(self, revision: ProfileRevision) -> None:
        """A new one."""

    def revoked(self, sha256: bytes) -> RevokedSigner | None:
        """A signer whose word counts no more."""

    def revoke(self, signer: RevokedSigner) -> None:
        """From now on its word does not count."""


class Rollouts(Protocol):
    """Rollouts and what they have seen of devices."""

    def latest(self, profile: str) -> RolloutRecord | None:
        """The latest one of a profile."""

    def find(self, text: str) -> RolloutRecord:
        """By id or unique prefix. Raises Refused (NOT_FOUND)."""

    def all(self, most: int) -> list[RolloutRecord]:
        """The latest ones first."""

    def in_state(self, states: Sequence[RolloutState], profile: str = "") -> list[RolloutRecord]:
        """Those that stand in one of these states."""

    def put(self, rollout: RolloutRecord) -> None:
        """A new or changed one."""

    def device(self, rollout: str, device: str) -> RolloutDevice | None:
        """What it has seen of one device."""

    def devices(self, rollout: str) -> list[tuple[RolloutDevice, State]]:
        """What it has seen of each, with the device's state now; by step and device."""

    def put_device(self, device: RolloutDevice) -> None:
        """A new or changed one."""

    def failed(self, rollout: str, most_step: int) -> int:
        """How many devices in steps up to `most_step` match neither revision."""

    def seen_anew(self, rollout: str, before: Seen, after: Seen) -> None:
        """Every device seen as `before` counts as `after`."""


class People(Protocol):
    """Operators, their security keys and sessions."""

    def get(self, name: str) -> Operator | None:
        """By name."""

    def find(self, name: str) -> Operator:
        """By name or unique prefix. Raises Refused (NOT_FOUND)."""

    def by_subject(self, issuer: str, subject: str) -> Operator | None:
        """Whom a provider knows by this subject; None where that is nobody, or not one alone."""

    def all(self, *, enabled_only: bool = False) -> list[Operator]:
        """By name."""

    def count(self) -> int:
        """How many there are."""

    def add(self, operator: Operator) -> None:
        """A new one."""

    def put(self, operator: Operator) -> None:
        """Keep a changed value."""

    def keys(self, operator: str) -> list[SecurityKey]:
        """Security keys of one, oldest first."""

    def key(self, credential: bytes) -> SecurityKey | None:
        """By its credential id."""

    def put_key(self, key: SecurityKey) -> None:
        """A new or changed one."""

    def remove_keys(self, operator: str) -> None:
        """Forget all of one's keys."""

    def session(self, spki_sha256: bytes) -> OperatorSession | None:
        """By the hash of its key."""

    def put_session(self, session: OperatorSession) -> None:
        """A new or changed one."""

    def sessions(self, now_ms: int, operator: str = "") -> list[OperatorSession]:
        """Those that stand, of one or of all."""

    def addresses(self) -> list[tuple[str, str]]:
        """(operator, address) of every sign-in there was."""


class Requests(Protocol):
    """Requests for roles, approvals and reviews."""

    def find(self, text: str) -> AccessRequest:
        """By id or unique prefix. Raises Refused (NOT_FOUND)."""

    def put(self, request: AccessRequest) -> None:
        """A new or changed one."""

    def of(self, requester: str, states: Sequence[RequestState]) -> list[AccessRequest]:
        """One's requests in these states, newest first."""

    def in_state(
        self, states: Sequence[RequestState], kind: RequestKind | None = None
    ) -> list[AccessRequest]:
        """Everybody's, of one kind where that is given, newest first."""

    def overdue(self, now_ms: int) -> list[AccessRequest]:
        """Those that wait, or are approved, though their time to be decided or used is over."""

    def roles_over(self, now_ms: int) -> list[AccessRequest]:
        """Granted roles whose time is over and that are not marked so."""

    def latest(self, most: int) -> list[AccessRequest]:
        """Everybody's, whatever their state, newest first."""


class Policies(Protocol):
    """Access policies that were in force, and decisions that were kept."""

    def current(self) -> AppliedPolicy | None:
        """The one in force."""

    def version(self, version: int) -> AppliedPolicy | None:
        """One that was."""

    def history(self, most: int) -> list[AppliedPolicy]:
        """Newest first."""

    def add(self, policy: AppliedPolicy) -> None:
        """In force from now on."""

    def keep_decision(self, decision: KeptDecision) -> None:
        """Keep what was asked and answered; the same again only counts."""

    def decisions(self, since_ms: int) -> list[KeptDecision]:
        """Those asked since, by time."""


class Zones(Protocol):
    """Zones' rules; a zone without any has the defaults."""

    def get(self, name: str) -> Zone:
        """Its rules."""

    def all(self) -> list[Zone]:
        """Those that have rules, by name."""

    def put(self, zone: Zone) -> None:
        """Keep rules."""


class Models(Protocol):
    """Registered models and the pins that put them in force."""

    def get(self, digest: str) -> Model | None:
        """By digest (hex)."""

    def find(self, digest: str) -> Model:
        """By digest or its unique beginning of eight digits or more. Raises Refused (NOT_FOUND)."""

    def all(self, most: int) -> list[Model]:
        """Newest first."""

    def approved(self, most: int) -> list[Model]:
        """The newest approved ones."""

    def put(self, model: Model) -> None:
        """A new or changed one."""

    def pin(self, zone: str) -> ZonePin | None:
        """The pin in force."""

    def pins(self, *, zone: str = "", digest: str = "", most: int = 100) -> list[ZonePin]:
        """Pins of a zone, newest first; or those that named a model, by zone and sequence."""

    def zones_of(self, digest: str) -> list[str]:
        """Zones in which this model is in force."""

    def add_pin(self, pin: ZonePin) -> None:
        """In force from now on."""


class Parts(Protocol):
    """Parts and golden images."""

    def get(self, part_type: str) -> Part | None:
        """By type; a removed one too."""

    def all(self, *, removed: bool) -> list[Part]:
        """By type; with removed ones where asked."""

    def count(self) -> int:
        """How many there ever were."""

    def put(self, part: Part) -> None:
        """A new or changed one."""

    def golden(self, sha256: bytes) -> bytes | None:
        """A golden image by its digest."""

    def keep_golden(self, image: bytes) -> str:
        """Keep an image; its digest in hex."""


class Receipts(Protocol):
    """Gateways' batches of receipts that are in the log."""

    def batch(self, gateway: str, store: str, number: int) -> ReceiptBatchEntry | None:
        """One."""

    def last(self, gateway: str, store: str) -> ReceiptBatchEntry | None:
        """The last of a store."""

    def add(self, batch: ReceiptBatchEntry) -> None:
        """A new one."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the record: its index, and the bytes that were logged."""

    index: int
    at_ms: int
    kind: str
    device: str
    event: str
    actor: str
    entry: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQuery:
    """Which entries: of a device, an event, an actor, since a time; empty members match
    everything.
    """

    device: str = ""
    event: str = ""
    actor: str = ""
    kind: str = ""
    since_ms: int = 0
    but_events: tuple[str, ...] = ()


class RecordStore(Protocol):
    """The append-only record as rows: entries, tree nodes, signed heads.
    `framegate_controller.record` gives them their meaning.
    """

    def append(self, body: Mapping[str, Any]) -> int:
        """Add an entry in this transaction; its index."""

    def entry(self, index: int) -> LoggedEntry | None:
        """One entry."""

    def entries(
        self, query: EntryQuery, *, first: int, below: int, most: int, newest_first: bool = False
    ) -> list[LoggedEntry]:
        """At most `most` entries with `first` <= index < `below` that match."""

    def size(self) -> int:
        """How many entries there are."""

    def node(self, level: int, position: int) -> bytes:
        """Hash of a complete subtree. KeyError where there is none."""

    def root(self) -> str:
        """Root of the whole tree in hex, as this transaction sees it."""

    def head(self, size: int) -> bytes | None:
        """The head that was signed over `size` entries."""

    def add_head(self, size: int, at_ms: int, envelope: bytes) -> None:
        """Keep a signed head."""

    def heads(self, below: int, most: int) -> list[bytes]:
        """Heads over fewer than `below` entries, oldest first, the last `most`."""

    def thin_heads(self, keep_from_ms: int, every_ms: int) -> None:
        """Of heads older than `keep_from_ms` keep one in `every_ms`."""


class SettingsKept(Protocol):
    """Single values of the fleet: the quorum, a sealed credential's hash, what a restart must not
    forget.
    """

    def get(self, name: str) -> str | None:
        """One."""

    def put(self, name: str, value: str) -> None:
        """Keep one."""

    def remove(self, name: str) -> None:
        """Forget one."""


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
    log: RecordStore
    settings: SettingsKept

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

    def raise_revision(self) -> int:
        """The next one: relying parties must see this change."""

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

    def writing(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write; one at a time, others wait."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A snapshot to read from; waits for nobody, and what is written in it is refused."""

    def close(self) -> None:
        """Close every connection."""
