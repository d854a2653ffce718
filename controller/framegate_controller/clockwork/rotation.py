"""Rotation of an issuing CA: the next one is made, told to everybody, and signs; the old one goes.

Nobody is cut off in between. A coming generation takes its place once every trusted machine has
attested since it was made, so that all know it; a gone one is forgotten once nothing it signed can
be alive. Device certificates live minutes and renew with each attestation, so renewal under the new
CA is the next one.

Keys are files, or in a token: what is done to them here no transaction takes back. So the ring that
others read changes only once the transaction is committed; and where one was lost, the next look
finds on disk what it did, as a restart would.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.machines.ca import GenerationEvent, GenerationState, step
from framegate.machines.lifecycle import State
from framegate.record.fleet_events import CaForgotten, CaMade, CaRotated, KeyCertified
from framegate_controller.ca.generations import certify_signing, forget, make_coming, reread, switch
from framegate_controller.ca.keys import ISSUING, FleetKeys, Generation
from framegate_controller.ca.template import BACKDATE, LIVES
from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged, EverybodyAttests, Notice
from framegate_controller.store.ports import CONTROLLER, Store, Transaction
from framegate_controller.timing import Timing

LIFE: Final = MappingProxyType(
    {label: max(LIVES[p] for p in purposes) for label, purposes in ISSUING.items()}
)
"""The longest life of what each signs: until then its last certificate may be shown."""
CERTIFY_BEFORE: Final = timedelta(days=365)
"""Half of a signing key's certificate's life."""
_SLACK: Final = timedelta(minutes=1)
"""A generation is forgotten a little after all it signed has ended: clocks differ."""
_OUTSIDE: Final = MappingProxyType(
    {
        "server-ca": "the controller takes a new server certificate by itself, or by a restart; "
        "the broker's: framegate-controller server-certificate broker",
        "broker-ca": "the broker needs a new clients.pem (framegate-controller server-certificate "
        "broker), lines new certificates (framegate-controller line-certificate)",
        "operator-ca": "operators stay signed in; their next sign-in is under the new one; "
        "the broker needs a new clients.pem",
        "gateway-ca": "the broker and line adapters need new clients.pem and authorities.pem "
        "before the old one is forgotten",
        "device-ca": "nothing outside the fleet has to change",
    }
)
"""What people have to carry, by CA."""


def rotate(tx: Transaction, fleet: Fleet, label: str) -> FleetKeys:
    """Make the next generation of `label`; the fleet's keys as they are once this is committed.

    Raises Malformed (USAGE), Refused (CONFLICT) while another is on its way.
    """
    require_issuing(label)
    keys = fleet.ring.refresh()
    if label in keys.coming:
        waits = "one that waits for machines to hear of it"
        raise Refused.of(Reason.CONFLICT, f"no {label} on its way", waits, "framegate ca show")
    coming = make_coming(keys, label, from_ms(tx.now_ms))
    tx.when_committed(fleet.ring.refresh)
    tx.settings.put(_made_name(label), str(tx.now_ms))
    tx.raise_revision()
    tx.record(CaMade(label=label, serial=coming.serial))
    return reread(keys)


def move_on(store: Store, fleet: Fleet) -> tuple[Notice, ...]:
    """Let every rotation move on; where none can, no writer has to wait for this look."""
    keys = fleet.ring.refresh()
    with store.reading() as tx:
        if not any(_happened(tx, keys, fleet.timing)) and not _ending(keys, tx.now_ms):
            return ()
    with store.writing() as tx:
        moved = tick(tx, fleet)
    return (AccessChanged(), EverybodyAttests()) if moved else ()


def tick(tx: Transaction, fleet: Fleet) -> list[str]:
    """Let every generation take the edge it has come to; what moved, in words.

    Signing keys are certified anew where it is time.
    """
    keys, moved = fleet.ring.refresh(), []
    for generation, event in list(_happened(tx, keys, fleet.timing)):
        after = step(generation.state, event)
        moved.append(
            _switched(tx, keys, generation)
            if after == GenerationState.PRESENT
            else _forgotten(tx, keys, generation)
        )
    moved += [_certified(tx, keys, label) for label in _ending(keys, tx.now_ms)]
    if moved:
        tx.raise_revision()
        tx.when_committed(fleet.ring.refresh)
    return moved


def plan_rotation(tx: Transaction, fleet: Fleet, label: str) -> list[str]:
    """What a rotation of `label` would do, in words, a step a line. Raises Malformed (USAGE)."""
    require_issuing(label)
    keys, interval_ms = fleet.keys, fleet.timing.interval_ms
    machines = len(tx.devices.ids(states=(State.TRUSTED,)))
    until = keys.issuing[label].certificate.not_valid_after_utc
    return [
        f"now: a new {label} is made ({keys.key_store.place}) and certified by the root; "
        f"the present one, until {until:%F}, goes on signing",
        f"within {interval_ms * 12 // 10_000} s: {machines} trusted machines attest and hear of "
        "it; those that are away hear of it when they come back",
        "then: it signs, and the old private key is destroyed; every machine renews under it with "
        f"its next attestation, within {interval_ms / 1000:g} s",
        f"after {LIFE[label]}: the old certificate is forgotten",
        _OUTSIDE[label],
    ]


def made_ms(tx: Transaction, keys: FleetKeys, label: str) -> int:
    """When the coming generation of `label` was made.

    By its certificate where the store lost the transaction, and holds an earlier rotation's time or
    none.
    """
    born = keys.coming[label].certificate.not_valid_before_utc + BACKDATE
    return max(int(tx.settings.get(_made_name(label)) or 0), int(born.timestamp() * 1000))


def require_issuing(label: str) -> None:
    """Raises Malformed (USAGE) where `label` is no issuing CA."""
    if label not in ISSUING:
        hint = "the root lives ten years and is not rotated: found a new fleet"
        raise Malformed.of(
            Reason.USAGE, f"an issuing CA: {', '.join(ISSUING)}", ascii(label[:40]), hint
        )


def _happened(
    tx: Transaction, keys: FleetKeys, timing: Timing
) -> Iterator[tuple[Generation, GenerationEvent]]:
    for label in ISSUING:
        for generation in keys.generations(label):
            if generation.state == GenerationState.COMING and _known(tx, keys, label, timing):
                yield generation, GenerationEvent.KNOWN
            if generation.state == GenerationState.GONE and _outlived(generation, tx.now_ms):
                yield generation, GenerationEvent.OUTLIVED


def _known(tx: Transaction, keys: FleetKeys, label: str, timing: Timing) -> bool:
    """Whether every trusted machine has attested since the coming generation was made.

    Half an interval passes in any case: whoever was attesting at that moment was told of the old
    ones.
    """
    since = made_ms(tx, keys, label)
    return tx.now_ms > since + timing.interval_ms // 2 and tx.devices.unaware(since) == 0


def _outlived(generation: Generation, now_ms: int) -> bool:
    return from_ms(now_ms) > from_ms(generation.gone_ms) + LIFE[generation.label] + _SLACK


def _ending(keys: FleetKeys, now_ms: int) -> list[str]:
    """Signing keys keep signing: they are certified anew long before their certificate ends."""
    return [
        n
        for n, k in keys.signing.items()
        if k.certificate.not_valid_after_utc - from_ms(now_ms) < CERTIFY_BEFORE
    ]


def _switched(tx: Transaction, keys: FleetKeys, generation: Generation) -> str:
    label = generation.label
    switch(keys, label, tx.now_ms)
    before = keys.generations(label)[0].serial
    tx.record(CaRotated(label=label, before=before, after=generation.serial), by=CONTROLLER)
    return f"{label}: the new one signs"


def _forgotten(tx: Transaction, keys: FleetKeys, generation: Generation) -> str:
    forget(keys, generation)
    tx.record(CaForgotten(label=generation.label, serial=generation.serial), by=CONTROLLER)
    return f"{generation.label}: the old one is forgotten"


def _certified(tx: Transaction, keys: FleetKeys, label: str) -> str:
    until = f"{certify_signing(keys, label, tx.now_ms).not_valid_after_utc:%F}"
    tx.record(KeyCertified(label=label, until=until), by=CONTROLLER)
    return f"{label} key: certified until {until}"


def _made_name(label: str) -> str:
    return f"ca-made:{label}"
