"""What evidence is answered with."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from framegate.errors import Failure, Reason
from framegate.identity.names import DeviceId
from framegate.machines.lifecycle import State
from framegate.registry.device import Device


@dataclass(frozen=True, slots=True)
class GatewayWarrant:
    """Certificates of a gateway process that its host vouches for, by the digest of its publics."""

    publics_sha256: bytes
    tls: x509.Certificate
    verdict: x509.Certificate


@dataclass(frozen=True, slots=True)
class Answer:
    """What evidence led to. `certificate` is set only for a trusted device."""

    device: DeviceId
    zone: str
    state: State
    failures: tuple[Failure, ...] = ()
    certificate: x509.Certificate | None = None
    result_id: str = ""
    gateways: tuple[GatewayWarrant, ...] = ()
    retry_with_boot_log: bool = False


def whole_list_wanted(device: Device, offset: int) -> Answer:
    """To evidence whose list begins at an entry that counts no more: moved by another session, or a
    new profile.
    """
    again = Failure(
        Reason.IMA_REQUIRED, "the whole IMA list", f"entries from {offset}", "begin again"
    )
    return Answer(device.id, device.zone, device.state, (again,), retry_with_boot_log=True)


def held_back(device: Device, state: State) -> Failure:
    """Why evidence that passes does not make this device trusted."""
    reasons = {
        State.SUSPECT: Reason.SUSPECT,
        State.QUARANTINED: Reason.QUARANTINED,
        State.PENDING: Reason.APPROVAL_NEEDED,
    }
    verb = "approve" if state == State.PENDING else "release"
    hint = f"evidence passes; an operator decides: framegate {device.kind} {verb} {device.name}"
    return Failure(reasons.get(state, Reason.NOT_TRUSTED), "a trusted device", state.value, hint)
