"""Operations on the registry inside one transaction: devices, tickets, profiles, trust revision, events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from framegate.errors import Failure, Reason, Refused
from framegate.evidence.appraise import AttestationResult
from framegate.identity.names import DeviceId, Kind, device_id, parse_name
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State, step
from framegate.record.entry import Act, event_body
from framegate.tpm.attest import ClockInfo
from framegate.wire import Proof, sha256
from framegate_controller.store.tables import AttestationSession, Device, Gateway, Profile, Result, Revision, Ticket, TpmAuthority

MAX_DETAIL: Final = 4_000
"""Characters of an event's detail."""
MAX_OPEN_SESSIONS: Final = 2_000
"""Unfinished challenges of strangers, fleet-wide; each is a kilobyte for a minute."""
MAX_OPEN_SESSIONS_PEER: Final = 64
"""Unfinished challenges of one address: a plant behind one NAT joins some dozen machines at once."""


def raise_revision(session: Session) -> int:
    """The next store-wide trust revision."""
    session.execute(update(Revision).where(Revision.id == 1).values(value=Revision.value + 1))
    return int(session.scalars(select(Revision.value)).one())


def acting(session: Session, act: Act) -> None:
    """From here on, this transaction's entries by `act.actor` carry what `act` says."""
    session.info["tx"].act = act


def record(session: Session, now_ms: int, device: str, event: str, actor: str, detail: str = "", before: str = "", after: str = "") -> int:
    """Append an event to the log, in the transaction of the change it tells of; returns its index."""
    tx = session.info["tx"]
    act = tx.act
    body = event_body(at_ms=now_ms, event=event, actor=actor, device=device, detail=detail[:MAX_DETAIL], before=before, after=after)
    if act is not None and act.actor == actor:
        tx.recorded += 1
        body = event_body(
            at_ms=now_ms, event=event, actor=actor, device=device, detail=detail[:MAX_DETAIL], before=before, after=after, source=act.source, approved_by=act.approved_by,
            reason=act.reason, verb=act.verb, policies=act.policies, policy=act.policy, request=act.request,
        )  # fmt: skip
    return int(tx.log.append(body))


def find_device(session: Session, text: str, kind: str = "") -> Device:
    """The device with this id or name, or the only one it is a prefix of. Raises Refused (NOT_FOUND, USAGE)."""
    exact = session.scalars(select(Device).where((Device.id == text) | (Device.name == text))).all()
    found = [d for d in exact if not kind or d.kind == kind]
    if not found and text:
        query = select(Device).where(Device.name.startswith(text, autoescape=True) | Device.id.startswith(text, autoescape=True)).limit(20)
        found = [d for d in session.scalars(query).all() if not kind or d.kind == kind]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused.of(Reason.USAGE, "an id or unique prefix", f"{text[:80]!a}: {', '.join(sorted(d.name for d in found))}")
    raise Refused.of(Reason.NOT_FOUND, f"a {kind or 'device'} of the registry", ascii(text[:80]), f"framegate {kind or 'camera'} list")


def change_state(session: Session, device: Device, edge: Edge, actor: str, now_ms: int, detail: str = "") -> State:
    """Take `edge` from the device's state; records the event and raises the trust revision where the state moves."""
    before = State(device.state)
    after = step(before, edge)
    if after != before:
        device.state, device.since_ms = after.value, now_ms
        raise_revision(session)
        record(session, now_ms, device.id, edge.value, actor, detail, before.value, after.value)
    return after


def invite(
    session: Session,
    *,
    kind: Kind,
    zone: str,
    name: str,
    profile: str,
    ek_sha256: bytes | None,
    code: bytes,
    life_s: int,
    actor: str,
    now_ms: int,
    replaces: bool = False,
) -> DeviceId:
    """Register a device and its ticket; with `replaces`, a ticket for another machine in the place of one that is there.

    Raises Refused where the name is taken or the profile unknown.
    """
    parse_name(profile, "profile")
    identifier = device_id(kind, zone, name)
    if session.get(Profile, profile) is None:
        known = ", ".join(session.scalars(select(Profile.name).order_by(Profile.name)).all()) or "none"
        raise Refused.of(Reason.PROFILE_MISSING, f"a firmware profile ({known})", profile, "framegate-controller profile add FILE")
    taken = session.scalars(select(Device).where(Device.name == name)).one_or_none()
    if replaces:
        return _replacement(session, taken, kind=kind, name=name, ek_sha256=ek_sha256, code=code, life_s=life_s, actor=actor, now_ms=now_ms)
    if taken is not None:
        if taken.state != State.RETIRED:
            raise Refused.of(Reason.NAME_TAKEN, "a name that is free", f"{name} ({taken.state})", f"framegate camera retire {name}, or choose another name")
        session.delete(taken)
        session.flush()
    session.execute(delete(Ticket).where(Ticket.device == identifier))
    session.add(Device(id=identifier, kind=kind.value, zone=zone, name=name, state=State.INVITED.value, since_ms=now_ms, profile=profile))
    session.add(Ticket(code_sha256=sha256(code), device=identifier, ek_sha256=ek_sha256, expires_ms=now_ms + life_s * 1000))
    record(session, now_ms, identifier, "invited", actor, f"profile {profile}", "", State.INVITED.value)
    return identifier


def _replacement(session: Session, device: Device | None, *, kind: Kind, name: str, ek_sha256: bytes | None, code: bytes, life_s: int, actor: str, now_ms: int) -> DeviceId:
    """The ticket of a replacement. The present machine keeps its place until the new one has proved itself to be the ticket's."""
    if device is None or device.kind != kind or device.state == State.RETIRED:
        raise Refused.of(Reason.NOT_FOUND, f"a {kind} of the registry to replace", ascii(name), f"framegate {kind} list")
    if device.state == State.QUARANTINED and ek_sha256 is None:
        raise Refused.of(Reason.QUARANTINED, "a ticket bound to the new machine's EK, as this device is held", "no EK hash", f"framegate {kind} replace {name} --ek-hash HASH")
    session.execute(delete(Ticket).where(Ticket.device == device.id))
    session.add(Ticket(code_sha256=sha256(code), device=device.id, ek_sha256=ek_sha256, expires_ms=now_ms + life_s * 1000, replaces=True))
    record(session, now_ms, device.id, "replacement-invited", actor, "bound to an EK" if ek_sha256 else "not bound to an EK")
    return DeviceId(device.id)


def open_session(session: Session, row: AttestationSession, now_ms: int) -> None:
    """Keep a challenge until its deadline. Raises Refused where a flood of unfinished ones stands before it (N86)."""
    session.execute(delete(AttestationSession).where(AttestationSession.expires_ms < now_ms))
    if row.join:
        waiting = select(func.count()).select_from(AttestationSession).where(AttestationSession.join)
        total = session.scalars(waiting).one()
        mine = session.scalars(waiting.where(AttestationSession.peer == row.peer)).one()
        if total >= MAX_OPEN_SESSIONS or mine >= MAX_OPEN_SESSIONS_PEER:
            raise Refused.of(Reason.TOO_MANY_TRIES, f"at most {MAX_OPEN_SESSIONS_PEER} open challenges from one address", mine, "finish or wait a minute")
    session.add(row)


def take_session(session: Session, identifier: bytes, now_ms: int) -> AttestationSession:
    """The session, consumed: whoever deletes the row has it, a second caller finds none. Raises Refused."""
    row = session.get(AttestationSession, identifier)
    gone = session.execute(delete(AttestationSession).where(AttestationSession.id == identifier))
    if row is None or gone.rowcount != 1:  # type: ignore[attr-defined]
        raise Refused.of(Reason.SESSION_UNKNOWN, "a session that waits for its proof", "none, or one already used", "begin again")
    session.expunge(row)
    if row.expires_ms < now_ms:
        raise Refused.of(Reason.SESSION_EXPIRED, "a proof before the challenge's deadline", f"{(now_ms - row.expires_ms) / 1000:.0f} s late", "begin again")
    return row


def store_result(
    session: Session,
    device: Device,
    result: AttestationResult,
    *,
    result_id: str,
    boot_log: bytes,
    pcrs: str,
    posture: str,
    now_ms: int,
    life_ms: int,
    proof: bytes,
    profile: str,
    profile_sha256: bytes,
) -> None:
    """Write an appraisal's outcome to the device; only an affirming one moves its result."""
    device.vector = json.dumps(dict(result.vector))
    store_failures(device, result.failures, now_ms)
    device.posture, device.pcrs = posture, pcrs
    device.firmware_version = f"{result.firmware_version:016x}"
    if result.affirming:
        device.clock = json.dumps([result.clock.clock, result.clock.reset_count, result.clock.restart_count, result.clock.safe])
        device.boot_log = boot_log
        device.result_id, device.result_ms, device.result_expires_ms = result_id, now_ms, now_ms + life_ms
        device.evidence_sha256, device.appraised_profile, device.appraised_profile_sha256 = sha256(proof), profile, profile_sha256
        parts = Proof.parse(proof)
        session.add(Result(
            id=result_id, device=device.id, at_ms=now_ms, evidence_sha256=device.evidence_sha256, quote=parts.quote_attest, signature=parts.quote_signature,
            ak_public=device.ak_public or b"", profile=profile, profile_sha256=profile_sha256,
        ))  # fmt: skip


def store_failures(device: Device, failures: Sequence[Failure], now_ms: int) -> None:
    """Replace the reasons that `camera why` shows."""
    device.failures = json.dumps([[f.reason.value, f.expected, f.actual, f.hint] for f in failures])
    device.failures_ms = now_ms if failures else 0


def load_failures(device: Device) -> list[Failure]:
    """The stored reasons."""
    return [Failure(Reason(r), e, a, h) for r, e, a, h in json.loads(device.failures)]


def load_findings(device: Device) -> list[Failure]:
    """What is worth telling of the last evidence and is no failure."""
    return [Failure(Reason(r), e, a, h) for r, e, a, h in json.loads(device.findings)]


def load_clock(device: Device) -> ClockInfo | None:
    """Clock of the last accepted evidence."""
    return ClockInfo(*json.loads(device.clock)) if device.clock else None


def store_gateways(session: Session, host: str, publics: Sequence[bytes], result_id: str) -> None:
    """Exactly these gateway processes are vouched for by `host` now."""
    session.execute(delete(Gateway).where(Gateway.host == host))
    session.add_all(Gateway(publics_sha256=sha256(p), host=host, publics=p, result_id=result_id) for p in publics)


def add_authority(session: Session, certificate: x509.Certificate, actor: str, now_ms: int) -> TpmAuthority:
    """Trust a TPM maker's CA. Raises Refused where it is no CA."""
    try:
        good = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        good = False
    if not good:
        raise Refused.of(Reason.CERTIFICATE, "a CA certificate of a TPM maker", "an end-entity certificate", "take the maker's root or issuing CA, not the EK's certificate")
    der = certificate.public_bytes(serialization.Encoding.DER)
    row = session.get(TpmAuthority, sha256(der))
    if row is None:
        expires = int(certificate.not_valid_after_utc.timestamp() * 1000)
        row = TpmAuthority(sha256=sha256(der), certificate=der, subject=certificate.subject.rfc4514_string(), added_ms=now_ms, expires_ms=expires)
        session.add(row)
        record(session, now_ms, "", "tpm-ca-added", actor, row.subject)
    return row
