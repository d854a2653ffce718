"""Machines: devices, how they join, gateways, masks; what they are appraised by; their evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from framegate.identity.names import DeviceId, Kind
from framegate.ima.allowlist import Allowlist
from framegate.machines.lifecycle import State
from framegate.machines.rollout import RolloutState, Seen
from framegate.registry.device import CameraMasks, Device, GatewayProcess, TpmMaker
from framegate.registry.evidence import KeptEvidence, KeptResult
from framegate.registry.rollout import (
    ProfileInForce,
    ProfileRevision,
    RevokedSigner,
    RolloutDevice,
    RolloutRecord,
)
from framegate.registry.ticket import Ticket


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

    def expect(self, devices: Iterable[str] = (), *, keys: Iterable[bytes] = ()) -> None:
        """Each is asked for soon by `get` or by `by_tls_key`: they may be looked up together."""

    def find(self, text: str, kind: str = "") -> Device:
        """With this id or name, or the only one it is a prefix of. Raises Refused (NOT_FOUND,
        USAGE).
        """

    def named(self, name: str) -> Device | None:
        """By name."""

    def by_ek(self, ek_sha256: bytes) -> Device | None:
        """The one that joined with this EK."""

    def eks(self, of: Collection[str] | None = None) -> dict[DeviceId, bytes]:
        """Digests of the EKs of those that are not retired: of all, or of those named in `of`."""

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

    def unused(self, of: Collection[str] | None = None) -> list[Ticket]:
        """Those that nobody used, over or not: of all, or of the devices named in `of`."""

    def add(self, ticket: Ticket) -> None:
        """A new one; a device has at most one, so an earlier one of the device is gone."""

    def put(self, ticket: Ticket) -> None:
        """Keep a changed value."""

    def remove_of(self, device: str) -> None:
        """Forget a device's tickets."""

    def remove_unused(self) -> list[str]:
        """Forget every ticket that was not used; whose they were."""


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

    def all(self) -> list[CameraMasks]:
        """Those of every camera."""

    def put(self, masks: CameraMasks) -> None:
        """In force from now on."""


class Sweep(NamedTuple):
    """Where a look through boot logs and IMA lists is: the last log and device it looked at; empty
    at its beginning.
    """

    log: bytes = b""
    device: str = ""


class Swept(NamedTuple):
    """What a look came to, and where the next one begins."""

    unused: bool
    after: Sweep


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
        """New evidence. A boot log in it that is kept already is not kept again in it."""

    def seen_again(self, device: str, content_sha256: bytes, ear: str, now_ms: int) -> str | None:
        """The id of the device's last evidence where that is of this content, and came once more
        now; `ear` is the result of this time, signed. None where it is of another, or none is kept.
        """

    def expect_again(self, device: str, content_sha256: bytes, ear: str, now_ms: int) -> None:
        """`seen_again` is asked this soon in this transaction: it may be done before."""

    def hold(self, identifier: str, device: str, now_ms: int) -> None:
        """Never forget this evidence; the same again changes nothing."""

    def is_held(self, identifier: str) -> bool:
        """Whether it is one that is never forgotten."""

    def held_of(self, device: str) -> int:
        """How many of a device are never forgotten."""

    def prune(self, device: str, before_ms: int) -> None:
        """Forget a device's evidence last seen before, but for what is held."""

    def trim(self, device: str, most: int, most_bytes: int) -> None:
        """Forget a device's oldest evidence, so that at most `most` are left, which take at most
        so much as they are kept, with the logs that they refer to; never the last.
        """

    def unused(self, before_ms: int, most: int, after: Sweep) -> Swept:
        """Whether `collect` would forget anything, and where the look after it goes on."""

    def collect(self, before_ms: int, most: int, after: Sweep) -> None:
        """Forget evidence of any device last seen before, boot logs that no evidence and no device
        refers to, and IMA lists of boots that neither does: at most so many of each; of logs and
        lists so many are looked at, from `after` on.
        """

    def result(self, identifier: str) -> KeptResult | None:
        """An affirming result by its id or the unique beginning of one, of six digits at least."""

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
