"""What machines and gateways are told, as values: a port writes them in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from framegate.identity.names import DeviceId
from framegate.machines.lifecycle import State
from framegate.registry.device import Standing


class Wake(StrEnum):
    """Why a machine is spoken to."""

    STATE = "state"  # it stands elsewhere now
    ATTEST_NOW = "attest-now"  # fresh evidence is asked for
    GRANTS_CHANGED = "grants-changed"  # grants or masks fall otherwise now


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """For one machine. STATE has a `state`; `revoked` are gateway hosts whose grants are void."""

    wake: Wake
    state: State | None = None
    revoked: tuple[DeviceId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTrust:
    """A machine's trust as relying parties see it: `remaining_ms` is 0 unless it is trusted.

    `facts` are what the access policy may ask of it, as JSON; `masks` a camera's signed masks in
    force, empty where there are none.
    """

    device: DeviceId
    state: State
    standing: Standing
    remaining_ms: int
    spki_sha256: bytes
    facts: str
    masks: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTrust:
    """A session that stands: the hash of its key, until when, when a factor was last shown."""

    spki_sha256: bytes
    expires_ms: int
    factor_ms: int
    break_glass: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTrust:
    """A person who may be signed in now, with the roles of this moment (`role` or `role@zone`)."""

    name: str
    roles: tuple[str, ...]
    sessions: tuple[SessionTrust, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTrust:
    """Another site: what people call it, the bundle they approved, and whether it counts now."""

    name: str
    bundle: bytes
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTrust:
    """What holds for people in a zone, and its rules; envelopes as they were signed.

    `policy` and `model_pin` are empty where there is none.
    """

    policy: bytes
    operators: tuple[OperatorTrust, ...]
    quorum: int
    grace: bool
    frozen: bool
    authorities: tuple[bytes, ...]
    model_pin: bytes
    sites: tuple[SiteTrust, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustUpdate:
    """A message of the trust feed, as of one revision. With `snapshot` it replaces all before it.

    `access` is None where it did not change; `parts` are signed envelopes. `head` is a new signed
    head of the record, `stage` the word for the zone's lines, both empty where there is none.
    """

    revision: int
    now_ms: int
    controller: str
    snapshot: bool = False
    devices: tuple[DeviceTrust, ...] = ()
    access: AccessTrust | None = None
    parts: tuple[bytes, ...] | None = None
    head: bytes = b""
    stage: bytes = b""


@dataclass(frozen=True, slots=True)
class ToMachines:
    """For these machines, as far as they listen; None for all that do."""

    machines: tuple[str, ...] | None
    event: MachineEvent


@dataclass(frozen=True, slots=True)
class ToGateways:
    """For the gateways of a zone, or of every zone (None)."""

    zone: str | None
    update: TrustUpdate


@dataclass(frozen=True, slots=True)
class ToFollowers:
    """For whoever follows every machine inside this controller: without `facts` and `masks`, which
    are for gateways.
    """

    trust: DeviceTrust


Message = ToMachines | ToGateways | ToFollowers
