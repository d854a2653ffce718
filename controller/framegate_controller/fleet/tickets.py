"""Tickets to join: for a machine that is registered with it, or for another in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId, Kind, device_id, parse_name
from framegate.machines.lifecycle import State
from framegate.record.machine_events import Invited, ReplacementInvited
from framegate.registry.device import Device
from framegate.registry.ticket import Ticket
from framegate.wire import sha256
from framegate_controller.fleet.profiles import kind_of_profile
from framegate_controller.store.ports import Transaction
from framegate_controller.store.ports.controllers import GONE_MS

_FORMS: Final = {Kind.BACKEND: 1}
"""From which form of rows on a kind of machine can be read; the others always could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Who is invited, by a ticket of `code` that lives for `life_s`.

    `ek_sha256` binds it to one EK, None to none: then somebody has to approve who joined.
    `replaces`: another machine, in the place of the one that has this name.
    """

    kind: Kind
    zone: str
    name: str
    profile: str
    code: bytes
    life_s: int
    ek_sha256: bytes | None = None
    replaces: bool = False


def invite(tx: Transaction, invitation: Invitation) -> DeviceId:
    """Register a machine, or take note of a replacement, and keep the ticket: by its hash. A
    machine that nobody has joined as so far gets another one, and the earlier one ends.

    Raises Malformed (USAGE), Refused where the name is taken or the profile unknown, or where a
    controller of before is at work that cannot read a machine of this kind.
    """
    parse_name(invitation.profile, "profile")
    identifier = device_id(invitation.kind, invitation.zone, invitation.name)
    _require_readable(tx, invitation.kind)
    require_profile(tx, invitation.profile, invitation.kind)
    namesake = tx.devices.named(invitation.name)
    if invitation.replaces:
        return _replacement(tx, invitation, namesake)
    if namesake is not None and _still_waits(namesake, identifier):
        return _again(tx, invitation, namesake)
    _require_free(tx, invitation.name, namesake)
    device = Device(
        id=identifier,
        kind=invitation.kind,
        zone=invitation.zone,
        name=invitation.name,
        state=State.INVITED,
        since_ms=tx.now_ms,
        profile=invitation.profile,
    )
    tx.devices.add(device)
    tx.tickets.add(_ticket(tx, invitation, identifier))
    tx.record(Invited(device=identifier, profile=invitation.profile))
    return identifier


def _require_readable(tx: Transaction, kind: Kind) -> None:
    """That every controller which was there of late reads rows of machines of this `kind`: one that
    does not would tell no gateway of its zone anything any more. Raises Refused (CONFLICT).
    """
    if not tx.controllers.all_read(_FORMS.get(kind, 0)):
        wanted = f"controllers that all know what a {kind} is"
        seen = f"one of an earlier version that was at work within {GONE_MS // 3_600_000} h"
        raise Refused.of(
            Reason.CONFLICT,
            wanted,
            seen,
            "upgrade the last of them, or wait until it is gone so long",
        )


def _still_waits(namesake: Device, identifier: DeviceId) -> bool:
    """Whether the machine that is invited is one that nobody has joined as so far."""
    return namesake.id == identifier and namesake.state == State.INVITED


def _again(tx: Transaction, invitation: Invitation, present: Device) -> DeviceId:
    """Another ticket in the place of one that did not reach its machine: that one ends here."""
    tx.devices.put(replace(present, profile=invitation.profile, since_ms=tx.now_ms))
    tx.tickets.add(_ticket(tx, invitation, present.id))
    tx.record(Invited(device=present.id, profile=invitation.profile))
    return present.id


def require_profile(tx: Transaction, profile: str, kind: Kind) -> None:
    """A profile of this name is in force, and it is for machines of this kind. Raises Refused
    (PROFILE_MISSING, PROFILE_KIND).
    """
    if tx.profiles.in_force(profile) is None:
        wanted = f"a firmware profile ({', '.join(tx.profiles.names()) or 'none'})"
        hint = "framegate-controller profile add FILE"
        raise Refused.of(Reason.PROFILE_MISSING, wanted, profile, hint)
    meant = kind_of_profile(tx, profile)
    if meant not in (None, kind):
        wanted, seen = f"a firmware profile for {kind}s", f"{profile}, which is for {meant}s"
        raise Refused.of(Reason.PROFILE_KIND, wanted, seen, "framegate profile list")


def _require_free(tx: Transaction, name: str, namesake: Device | None) -> None:
    """A retired machine gives its name up to whoever is invited under it."""
    if namesake is None:
        return
    if namesake.state != State.RETIRED:
        hint = f"framegate {namesake.kind} retire {name}, or choose another name"
        raise Refused.of(
            Reason.NAME_TAKEN, "a name that is free", f"{name} ({namesake.state})", hint
        )
    tx.devices.remove(namesake.id)


def _replacement(tx: Transaction, invitation: Invitation, present: Device | None) -> DeviceId:
    """The present machine keeps its place until the new one has proved itself to be the ticket's.

    Whoever took a machine out of a quarantine by replacing it would need no operator's release:
    there the ticket has to name the new one.
    """
    kind, name = invitation.kind, invitation.name
    if present is None or present.kind != kind or present.state == State.RETIRED:
        wanted = f"a {kind} of the registry to replace"
        raise Refused.of(Reason.NOT_FOUND, wanted, ascii(name), f"framegate {kind} list")
    if present.state == State.QUARANTINED and invitation.ek_sha256 is None:
        wanted = "a ticket bound to the new machine's EK, as this device is held"
        hint = f"framegate {kind} replace {name} --ek-hash HASH"
        raise Refused.of(Reason.QUARANTINED, wanted, "no EK hash", hint)
    tx.tickets.add(_ticket(tx, invitation, present.id))
    tx.record(ReplacementInvited(device=present.id, bound=invitation.ek_sha256 is not None))
    return present.id


def _ticket(tx: Transaction, invitation: Invitation, device: DeviceId) -> Ticket:
    return Ticket(
        code_sha256=sha256(invitation.code),
        device=device,
        ek_sha256=invitation.ek_sha256,
        expires_ms=tx.now_ms + invitation.life_s * 1000,
        replaces=invitation.replaces,
    )
