"""Joining: whose ticket or EK it is, what vouches for the EK, and whose keys they are. Who may
begin, and what evidence then takes over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509

from framegate.cloud.initial_key import verify_initial_key
from framegate.errors import Reason, Refused
from framegate.evidence.challenge import MAX_ENDORSEMENT, ChallengeState
from framegate.evidence.hello import HelloKeys
from framegate.identity.certificates import from_ms
from framegate.identity.device_identity import verify_iak_certification
from framegate.identity.endorsement import load_chain, verify_endorsement
from framegate.identity.evidence_form import EvidenceForm, endorsement_words
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State, step
from framegate.machines.ticket import TicketState
from framegate.record.machine_events import DeviceMoved, TicketUsed
from framegate.registry.device import Baseline, Device, Standing, TpmIdentity
from framegate.registry.ticket import Ticket
from framegate.tpm.public import Public, parse_public
from framegate.wire import TICKET_CODE_BYTES, Evidence, Hello, sha256
from framegate_controller.context import Fleet
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.tries import TicketTries
from framegate_controller.timing import RESERVATION_MS

EK_CHARACTERS: Final = 16
"""Of an EK's digest, in the event that tells of a replacement."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants to join: the Hello, its parsed keys, the EK's digest, the device it is for, and the
    ticket it came with, if any.
    """

    hello: Hello
    ek: Public
    ak: Public
    ek_sha256: bytes
    device: Device
    ticket: Ticket | None

    @property
    def replaces(self) -> bool:
        """Whether it is another machine in a device's place."""
        return self.ticket is not None and self.ticket.replaces


def present(
    tx: Transaction, hello: Hello, keys: HelloKeys, address: str, tries: TicketTries
) -> Applicant:
    """The device that this Hello is for: by its ticket, or by its EK where it has none. Raises
    Refused.
    """
    ek_sha256 = sha256(keys.ek.spki())
    if not hello.ticket_code:
        known = tx.devices.by_ek(ek_sha256)
        if known is None or known.state == State.RETIRED:
            raise Refused.of(
                Reason.EK_UNKNOWN,
                "the EK of an enrolled device",
                ek_sha256.hex(),
                "this TPM has not joined: ask an operator for a ticket",
            )
        return Applicant(hello, keys.ek, keys.ak, ek_sha256, known, None)
    tries.begin(address, tx.now_ms)
    ticket = tx.tickets.get(sha256(hello.ticket_code))
    if ticket is None or len(hello.ticket_code) != TICKET_CODE_BYTES:
        raise Refused.of(
            Reason.TICKET_UNKNOWN,
            "a ticket of this fleet",
            "another code",
            "ask an operator: framegate camera invite NAME",
        )
    tries.right(address, tx.now_ms)
    _good(ticket, ek_sha256, tx.now_ms)
    device = standing(tx, ticket.device)
    zone = tx.zones.get(device.zone)
    if zone.frozen:
        hint = "join when it is thawed; the ticket stays good until it ends"
        raise Refused.of(
            Reason.ZONE_FROZEN,
            f"zone {device.zone} open for changes",
            f"frozen: {zone.reason}",
            hint,
        )
    return Applicant(hello, keys.ek, keys.ak, ek_sha256, device, ticket)


def _good(ticket: Ticket, ek_sha256: bytes, now_ms: int) -> None:
    state = ticket.state(now_ms)
    if state == TicketState.USED:
        raise Refused.of(
            Reason.TICKET_USED,
            "a ticket not used yet",
            "a used one",
            "a machine that has joined comes back without a ticket",
        )
    if state == TicketState.EXPIRED:
        raise Refused.of(
            Reason.TICKET_EXPIRED,
            "a ticket still valid",
            f"expired {(now_ms - ticket.expires_ms) // 60000} min ago",
            "ask for a new one",
        )
    if state == TicketState.RESERVED and ticket.reserved_ek != ek_sha256:
        raise Refused.of(
            Reason.TICKET_RESERVED,
            "a ticket no other machine is using",
            "another TPM began with it",
            "wait a minute",
        )


def reserve(tx: Transaction, code_sha256: bytes, ek_sha256: bytes) -> None:
    """Hold the ticket for this EK. Raises Refused where another was quicker."""
    ticket = tx.tickets.get(code_sha256)
    if ticket is None:
        raise Refused.of(
            Reason.TICKET_UNKNOWN,
            "a ticket of this fleet",
            "one that was withdrawn",
            "ask an operator: framegate camera invite NAME",
        )
    _good(ticket, ek_sha256, tx.now_ms)
    tx.tickets.put(ticket.reserved(ek_sha256, tx.now_ms, RESERVATION_MS))


def standing(tx: Transaction, device: str) -> Device:
    """A device that is not retired. Raises Refused (DEVICE_RETIRED)."""
    machine = tx.devices.get(device)
    if machine is None or machine.state == State.RETIRED:
        raise Refused.of(
            Reason.DEVICE_RETIRED,
            "an enrolled device",
            f"{device} is retired",
            "an operator has to invite it anew",
        )
    return machine


def endorsed(tx: Transaction, applicant: Applicant, fleet: Fleet) -> str:
    """In words, what vouches for the EK: the hash an operator pinned, or a maker's chain. Raises
    EvidenceRejected, Refused; Malformed, Unavailable of a revocation list that cannot be read.
    """
    ticket, hello = applicant.ticket, applicant.hello
    if ticket is None:
        return applicant.device.tpm.endorsement if applicant.device.tpm is not None else ""
    if ticket.ek_sha256 is not None:
        if ticket.ek_sha256 != applicant.ek_sha256:
            raise Refused.of(
                Reason.EK_NOT_PINNED,
                f"the EK {ticket.ek_sha256.hex()}",
                applicant.ek_sha256.hex(),
                "this ticket is for another machine",
            )
        return endorsement_words(EvidenceForm.PINNED)
    roots = [x509.load_der_x509_certificate(m.certificate) for m in tx.makers.all()]
    at = from_ms(tx.now_ms)
    if (
        not hello.ek_certificates and hello.iak_certificates
    ):  # that it vouches for this AK is shown by the evidence
        vouched = verify_initial_key(
            parse_public(hello.iak_public), hello.iak_certificates, roots, at, fleet.revocations()
        )
        return _printable(endorsement_words(vouched.form, vouched.words))
    leaf = verify_endorsement(applicant.ek, hello.ek_certificates, roots, at)
    put_right = sorted({n for c in load_chain(hello.ek_certificates) for n in c.notes})
    flags = f" (put right: {', '.join(put_right)})" if put_right else ""
    words = f"{leaf.serial_number:x} by {leaf.issuer.rfc4514_string()}{flags}"
    return _printable(endorsement_words(EvidenceForm.EK, words))


def _printable(text: str) -> str:
    """A maker's name as a record can carry it: no control characters, not too long."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown.encode()[:MAX_ENDORSEMENT].decode(errors="ignore")


def require_unowned(
    tx: Transaction, device: Device, ek_sha256: bytes, ak_name: bytes, *, replaces: bool
) -> list[Device]:
    """That no other device owns this EK or AK; returns retired ones that have them still, and give
    them up to a new ticket. Raises Refused (KEY_OWNED).
    """
    others = [d for d in tx.devices.owners(ek_sha256, ak_name) if d.id != device.id]
    for other in others:
        if other.state != State.RETIRED:
            hint = f"framegate camera retire {other.name}, then invite anew"
            raise Refused.of(
                Reason.KEY_OWNED, "a TPM that is no other device's", f"that of {other.id}", hint
            )
    if device.tpm is not None and device.tpm.ek_sha256 != ek_sha256 and not replaces:
        hint = (
            f"is its mainboard another one? framegate {device.kind} replace {device.name}; a copied"
            " disk does not carry an identity"
        )
        raise Refused.of(Reason.KEY_OWNED, f"the TPM that {device.id} joined with", "another", hint)
    return others


@dataclass(frozen=True, slots=True)
class Claim:
    """What evidence with the right MAC takes over: the device with its new TPM, and how."""

    device: Device
    before: Device
    ticket: Ticket | None

    @property
    def replaces(self) -> bool:
        """Whether another machine gives way."""
        return self.ticket is not None and self.ticket.replaces

    @property
    def unpinned(self) -> bool:
        """Whether the ticket named no EK, so that somebody has to approve the machine."""
        return self.ticket is not None and self.ticket.ek_sha256 is None


def claim(tx: Transaction, state: ChallengeState, evidence: bytes) -> Claim:
    """What the holder of the challenge takes over, looked at and not yet taken. The caller MUST
    have verified the activation MAC.

    1. the device stands;
    2. its ticket is still held for this EK, or the EK is the device's own;
    3. where no EK certificate stood behind the ticket, the IAK vouches for this AK;
    4. nobody else owns the keys.

    Raises Refused, EvidenceRejected, Malformed.
    """
    before = standing(tx, state.device)  # 1
    ek, ak = parse_public(state.ek_public), parse_public(state.ak_public)
    ek_sha256 = sha256(ek.spki())
    ticket = _held_ticket(tx, state, ek_sha256, before)  # 2
    if ticket is not None and ticket.ek_sha256 is None and not state.ek_certified:  # 3
        body = Evidence.parse(evidence)
        verify_iak_certification(
            parse_public(state.iak_public),
            ak,
            body.iak_attest,
            body.iak_signature,
            state.transcript,
        )
    replaces = ticket is not None and ticket.replaces
    require_unowned(tx, before, ek_sha256, ak.name, replaces=replaces)  # 4
    tpm = TpmIdentity(
        ek_sha256=ek_sha256,
        ek_public=state.ek_public,
        ak_name=ak.name,
        ak_public=state.ak_public,
        manufacturer=state.manufacturer,
        endorsement=state.endorsement,
    )
    gives_way = replaces and before.tpm is not None and before.tpm.ek_sha256 != ek_sha256
    return Claim(replace(_emptied(before) if gives_way else before, tpm=tpm), before, ticket)


def _held_ticket(
    tx: Transaction, state: ChallengeState, ek_sha256: bytes, device: Device
) -> Ticket | None:
    if not state.ticket:
        if device.tpm is None or device.tpm.ek_sha256 != ek_sha256:
            raise Refused.of(Reason.EK_UNKNOWN, "this device's EK", "another")
        return None
    ticket = tx.tickets.get(state.ticket)
    if ticket is None or ticket.used_ms or ticket.reserved_ek != ek_sha256:
        raise Refused.of(
            Reason.TICKET_USED,
            "a ticket not used yet",
            "a used one",
            "exactly one machine joins by a ticket",
        )
    return ticket


def _emptied(device: Device) -> Device:
    """The place of a machine that gives way: keys, certificate, result, log and list of the old one
    are gone.
    """
    return replace(
        device,
        state=step(device.state, Edge.REPLACED),
        tls=None,
        standing=Standing(),
        baseline=Baseline(),
    )


def take_over(tx: Transaction, claimed: Claim, state: ChallengeState, evidence: bytes) -> None:
    """Write what was claimed, but for the device's own row: the ticket is spent, retired owners
    give their keys up, the old machine is told of.

    In the transaction of the evidence, which MUST compare and set the device's row. What `claim`
    looked at on a snapshot and is not in that row is looked at again:

    1. the ticket is still held for this EK, and may be used;
    2. nobody else owns the keys.

    A ticket's code never stands for another EK or device: what it is for was looked at. Raises
    Refused as `claim` would, or (TRANSITION) of a ticket that has ended.
    """
    device, tpm = claimed.device, claimed.device.tpm
    assert tpm is not None  # noqa: S101 - claim() gives it one
    try:
        ticket = _held_ticket(tx, state, tpm.ek_sha256, claimed.before)  # 1
        used = ticket.used(tx.now_ms) if ticket is not None else None
        others = require_unowned(
            tx, claimed.before, tpm.ek_sha256, tpm.ak_name, replaces=claimed.replaces
        )  # 2
    except Refused:
        claim(tx, state, evidence)  # a device that moved meanwhile is refused for that, first
        raise
    if used is not None:
        tx.tickets.put(used)
        tx.record(TicketUsed(device=used.device), by=used.device)
    for retired in others:
        tx.devices.put(replace(retired, tpm=None))
    old = claimed.before.tpm
    if claimed.replaces and old is not None and old.ek_sha256 != tpm.ek_sha256:
        why = f"the machine with EK {old.ek_sha256.hex()[:EK_CHARACTERS]}… gave way to another"
        before = claimed.before.state
        if device.state != before:
            tx.raise_revision()
            tx.record(
                DeviceMoved(
                    device=device.id, edge=Edge.REPLACED, before=before, after=device.state, why=why
                ),
                by=device.id,
            )
        tx.gateways.replace(device.id, ())
