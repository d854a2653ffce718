"""What machines and gateways are told, read out of one transaction and so of one revision."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cached_property

from framegate.federation.receipts import SiteStanding
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Device, Standing
from framegate_controller.context import Fleet
from framegate_controller.events.messages import (
    AccessTrust,
    DeviceTrust,
    MachineEvent,
    Message,
    OperatorTrust,
    SessionTrust,
    SiteTrust,
    ToFollowers,
    ToGateways,
    ToMachines,
    TrustUpdate,
    Wake,
)
from framegate_controller.events.notices import (
    AccessChanged,
    AttestNow,
    DeviceChanged,
    EverybodyAttests,
    GrantsChanged,
    HeadSigned,
    Notice,
    PartChanged,
)
from framegate_controller.fleet.facts import facts_of
from framegate_controller.inspection.models import pin_in_force
from framegate_controller.inspection.parts import part_envelopes
from framegate_controller.people.operators import quorum, roles_now
from framegate_controller.store.ports import Transaction


def trust_of(tx: Transaction, device: Device) -> DeviceTrust:
    """A machine's trust as relying parties see it: nothing remains unless it is trusted."""
    masks = tx.masks.get(device.id) if device.kind == Kind.CAMERA else None
    return replace(
        bare_trust(device, tx.now_ms),
        facts=json.dumps(facts_of(device, tx.now_ms)),
        masks=masks.envelope if masks is not None else b"",
    )


def bare_trust(device: Device, now_ms: int) -> DeviceTrust:
    """The same without facts and masks."""
    remaining = max(0, device.standing.expires_ms - now_ms) if device.state == State.TRUSTED else 0
    return DeviceTrust(
        device=device.id,
        state=device.state,
        standing=device.standing,
        remaining_ms=remaining,
        spki_sha256=device.tls.spki_sha256 if device.tls is not None else b"",
        facts="",
        masks=b"",
    )


def for_gateways(update: TrustUpdate) -> TrustUpdate:
    """What a gateway is told: all of it."""
    return update


def for_enforcers(update: TrustUpdate) -> TrustUpdate:
    """What an enforcer of segments is told: states, lives and the policy."""
    access = update.access
    if access is not None:
        access = replace(access, operators=(), quorum=0, model_pin=b"", sites=())
    devices = tuple(replace(d, facts="", masks=b"", standing=Standing()) for d in update.devices)
    return replace(update, devices=devices, access=access, parts=None, stage=b"")


class Teller:
    """Reads messages out of one transaction; what is the same for many zones is read once."""

    def __init__(self, tx: Transaction, fleet: Fleet) -> None:
        self._tx, self._fleet = tx, fleet

    def snapshot(self, zone: str) -> TrustUpdate:
        """All that a gateway of `zone` has to know."""
        return TrustUpdate(
            revision=self.revision,
            now_ms=self._tx.now_ms,
            controller=self._fleet.controller,
            snapshot=True,
            devices=tuple(trust_of(self._tx, d) for d in self._tx.devices.all(zone=zone)),
            access=self.access(zone),
            parts=tuple(part_envelopes(self._tx)),
        )

    def access(self, zone: str) -> AccessTrust:
        """Policy, people and the zone's rules, as its gateways are told."""
        rules = self._tx.zones.get(zone)
        return AccessTrust(
            policy=self._policy,
            operators=self._people,
            quorum=self._quorum,
            grace=rules.grace,
            frozen=rules.frozen,
            authorities=tuple(self._fleet.keys.authorities),
            model_pin=pin_in_force(self._tx, zone),
            sites=self._sites,
        )

    def update(
        self,
        *,
        devices: tuple[DeviceTrust, ...] = (),
        access: AccessTrust | None = None,
        parts: tuple[bytes, ...] | None = None,
        head: bytes = b"",
    ) -> TrustUpdate:
        """A change as of this transaction's revision; of nothing, it is a heartbeat."""
        return TrustUpdate(
            revision=self.revision,
            now_ms=self._tx.now_ms,
            controller=self._fleet.controller,
            devices=devices,
            access=access,
            parts=parts,
            head=head,
        )

    def messages(self, notices: Iterable[Notice], zones: Collection[str]) -> Iterator[Message]:
        """What `notices` come to, in their order. `zones` are those whose gateways listen."""
        notices = tuple(notices)
        self._tx.devices.expect({n.device for n in notices if isinstance(n, DeviceChanged)})
        for notice in notices:
            match notice:
                case DeviceChanged(device):
                    yield from self._device_changed(device, zones)
                case AttestNow(device):
                    yield ToMachines((device,), MachineEvent(Wake.ATTEST_NOW))
                case EverybodyAttests():
                    yield ToMachines(None, MachineEvent(Wake.ATTEST_NOW))
                case GrantsChanged(device):
                    yield ToMachines((device,), MachineEvent(Wake.GRANTS_CHANGED))
                    if (camera := self._tx.devices.get(device)) is not None:
                        trust = trust_of(self._tx, camera)  # which has the masks
                        yield ToGateways(camera.zone, self.update(devices=(trust,)))
                case AccessChanged(grants):
                    yield from (ToGateways(z, self.update(access=self.access(z))) for z in zones)
                    if grants:
                        cameras = self._tx.devices.ids(kind=Kind.CAMERA, states=(State.TRUSTED,))
                        yield ToMachines(tuple(cameras), MachineEvent(Wake.GRANTS_CHANGED))
                case PartChanged(envelope):
                    yield ToGateways(None, self.update(parts=(envelope,)))
                case HeadSigned(head):
                    yield ToGateways(None, self.update(head=head))

    def _device_changed(self, device: str, zones: Collection[str]) -> Iterator[Message]:
        """For its gateways, itself and, of a gateway host, its cameras; none of a gone one. What
        only gateways are told is read where some listen: one that comes begins with a snapshot.
        """
        machine = self._tx.devices.get(device)
        if machine is None:
            return
        if machine.zone in zones:
            yield ToGateways(machine.zone, self.update(devices=(trust_of(self._tx, machine),)))
        else:
            yield ToFollowers(bare_trust(machine, self._tx.now_ms))
        yield ToMachines((machine.id,), MachineEvent(Wake.STATE, machine.state))
        if machine.kind == Kind.GATEWAY:
            void = () if machine.state == State.TRUSTED else (machine.id,)
            cameras = self._tx.devices.ids(kind=Kind.CAMERA, zone=machine.zone)
            yield ToMachines(tuple(cameras), MachineEvent(Wake.GRANTS_CHANGED, revoked=void))

    @cached_property
    def revision(self) -> int:
        """The transaction's, of which all that is told is."""
        return self._tx.revision()

    @cached_property
    def _policy(self) -> bytes:
        applied = self._tx.policies.current()
        return applied.envelope if applied is not None else b""

    @cached_property
    def _sites(self) -> tuple[SiteTrust, ...]:
        return tuple(
            SiteTrust(name=s.name, bundle=s.bundle, trusted=s.standing is SiteStanding.TRUSTED)
            for s in self._tx.sites.all()
        )

    @cached_property
    def _quorum(self) -> int:
        return quorum(self._tx)

    @cached_property
    def _people(self) -> tuple[OperatorTrust, ...]:
        by_operator: dict[str, list[SessionTrust]] = defaultdict(list)
        for s in self._tx.people.sessions(self._tx.now_ms):
            trust = SessionTrust(
                spki_sha256=s.spki_sha256,
                expires_ms=s.expires_ms,
                factor_ms=s.factor_ms,
                break_glass=bool(s.break_glass),
            )
            by_operator[s.operator].append(trust)
        return tuple(
            OperatorTrust(
                name=p.name,
                roles=tuple(str(r) for r in roles_now(self._tx, p)),
                sessions=tuple(by_operator[p.name]),
            )
            for p in self._tx.people.all(enabled_only=True)
        )
