"""Rotation of an issuing CA: the next one is made and told to everybody, then it signs, then the old one is forgotten. Nobody is cut off in between.

Stages of a generation: *coming* (certified, known to machines that attested since, signs nothing), *present* (signs), *gone* (signs nothing; what it
signed still lives). Coming turns present once every trusted machine has attested since it was made, so that all know it; gone is forgotten once
nothing it signed can be alive. Device certificates live minutes and renew with each attestation, so renewal under the new CA is the next one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.machines.lifecycle import State
from framegate_controller.ca.issuance import MAX_CERTIFICATE_LIFE, OPERATOR_LIFE, SERVER_LIFE
from framegate_controller.ca.keys import BACKDATED, ISSUING, FleetKeys, SigningKey, issuing_certificate, signing_certificate
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import Device, Setting
from framegate_controller.timing import Timing

LIFE: Final = {"device-ca": MAX_CERTIFICATE_LIFE, "gateway-ca": MAX_CERTIFICATE_LIFE, "operator-ca": OPERATOR_LIFE, "server-ca": SERVER_LIFE, "broker-ca": SERVER_LIFE}
"""The longest life of what each signs: until then its last certificate may be shown."""
WARN_BEFORE: Final = timedelta(days=90)
CERTIFY_BEFORE: Final = timedelta(days=365)
"""Half of a signing key's certificate's life."""


def rotate(session: Session, keys: FleetKeys, folder: Path, label: str, actor: str, now_ms: int) -> None:
    """Make the next generation of `label`. Raises Malformed (USAGE), Refused (CONFLICT) while another is on its way."""
    _known(label)
    if label in keys.next:
        raise Refused.of(Reason.CONFLICT, f"no {label} on its way", "one that waits for machines to hear of it", "framegate ca show")
    key = keys.keyring.make(f"{label}.next")
    certificate = issuing_certificate(keys.root, keys.fleet, label, key.public_key(), datetime.fromtimestamp(now_ms / 1000, UTC))
    made = SigningKey(key, certificate)
    (folder / f"{label}.next.pem").write_bytes(made.pem)
    keys.next[label] = made
    keys.others.append(certificate)
    session.merge(Setting(name=f"ca-made:{label}", value=str(now_ms)))
    raise_revision(session)
    record(session, now_ms, "", "ca-made", actor, f"{label}: {certificate.serial_number:x}")


def tick(session: Session, keys: FleetKeys, folder: Path, timing: Timing, now_ms: int) -> list[str]:
    """Let every rotation move on; what moved, in words."""
    moved = []
    for label in list(keys.next):
        waiting, _ = _unaware(session, keys, label, now_ms, timing)
        if waiting == 0:
            moved.append(_switch(session, keys, folder, label, now_ms))
    for path in sorted(folder.glob("*.old-*.pem")):
        since, label = int(path.stem.rsplit("-", 1)[1]), path.name.split(".old-")[0]
        if now_ms > since + LIFE[label].total_seconds() * 1000 + 60_000:
            gone = x509.load_pem_x509_certificate(path.read_bytes())
            path.unlink()
            keys.others[:] = [c for c in keys.others if c != gone]
            record(session, now_ms, "", "ca-forgotten", "controller", f"{label}: {gone.serial_number:x}")
            moved.append(f"{label}: the old one is forgotten")
    return [*moved, *_certify_again(session, keys, folder, now_ms)]


def _certify_again(session: Session, keys: FleetKeys, folder: Path, now_ms: int) -> list[str]:
    """Signing keys keep signing: a new certificate for the same key, long before the old one ends. What was signed carries the certificate of its day."""
    moved = []
    for label, held in keys.signing.items():
        if held.certificate.not_valid_after_utc - from_ms(now_ms) < CERTIFY_BEFORE:
            made = SigningKey(held.key, signing_certificate(keys.root, keys.fleet, label, held.key.public_key(), from_ms(now_ms)))
            (folder / f"{label}.pem").write_bytes(made.pem)
            keys.signing[label] = made
            record(session, now_ms, "", "key-certified", "controller", f"{label}: until {made.certificate.not_valid_after_utc:%F}")
            moved.append(f"{label} key: certified until {made.certificate.not_valid_after_utc:%F}")
    return moved


def _switch(session: Session, keys: FleetKeys, folder: Path, label: str, now_ms: int) -> str:
    old, new = keys.issuing[label], keys.next.pop(label)
    (folder / f"{label}.old-{now_ms}.pem").write_bytes(old.pem)
    keys.keyring.rename(f"{label}.next", label)  # the old private key is gone from here on
    (folder / f"{label}.next.pem").replace(folder / f"{label}.pem")
    keys.issuing[label] = SigningKey(keys.keyring.load(label), new.certificate)
    keys.others[:] = [*(c for c in keys.others if c != new.certificate), old.certificate]
    raise_revision(session)
    record(session, now_ms, "", "ca-rotated", "controller", f"{label}: {old.certificate.serial_number:x} -> {new.certificate.serial_number:x}")
    return f"{label}: the new one signs"


def plan_rotation(session: Session, keys: FleetKeys, timing: Timing, label: str) -> list[str]:
    """What a rotation of `label` would do, in words, a step a line. Raises Malformed (USAGE)."""
    _known(label)
    machines = session.scalars(select(func.count()).select_from(Device).where(Device.state == State.TRUSTED)).one()
    files = {
        "server-ca": "the controller takes a new server certificate at its next start; the broker's: framegate-controller server-certificate broker",
        "broker-ca": "the broker needs a new clients.pem (framegate-controller server-certificate broker), lines new certificates (framegate-controller line-certificate)",
        "operator-ca": "operators stay signed in; their next sign-in is under the new one; the broker needs a new clients.pem",
        "gateway-ca": "the broker and line adapters need new clients.pem and authorities.pem before the old one is forgotten",
        "device-ca": "nothing outside the fleet has to change",
    }
    until = keys.issuing[label].certificate.not_valid_after_utc
    return [
        f"now: a new {label} is made ({keys.keyring.words}) and certified by the root; the present one, until {until:%F}, goes on signing",
        f"within {timing.interval_ms * 12 // 10_000} s: {machines} trusted machines attest and hear of it; those that are away hear of it when they come back",
        f"then: it signs, and the old private key is destroyed; every machine renews under it with its next attestation, within {timing.interval_ms / 1000:g} s",
        f"after {LIFE[label]}: the old certificate is forgotten",
        files[label],
    ]


def ca_rows(session: Session, keys: FleetKeys) -> list[dict[str, Any]]:
    """Root, generations and signing keys, as rows for people."""
    rows = [_row("root", "present", keys.root.certificate, keys.keyring.words, "")]
    for label in ISSUING:
        for certificate in keys.generations(label):
            coming, present = keys.next.get(label), keys.issuing[label]
            if certificate == present.certificate:
                left = certificate.not_valid_after_utc - datetime.now(UTC)
                rows.append(_row(label, "present", certificate, keys.keyring.words, f"ends in {left.days} days: framegate ca rotate {label}" if left < WARN_BEFORE else ""))
            elif coming is not None and certificate == coming.certificate:
                made = session.get(Setting, f"ca-made:{label}")
                rows.append(
                    _row(
                        label,
                        "coming",
                        certificate,
                        keys.keyring.words,
                        f"made {from_ms(int(made.value)):%F %H:%M} UTC; waits until every trusted machine has heard of it" if made else "",
                    )
                )
            else:
                rows.append(_row(label, "gone", certificate, "destroyed", "until nothing it signed lives"))
    rows += [_row(f"{label} key", "present", k.certificate, "encrypted file", "certified anew by itself") for label, k in keys.signing.items()]
    return rows


def _row(label: str, state: str, certificate: x509.Certificate, held: str, note: str) -> dict[str, Any]:
    return {
        "label": label, "state": state, "subject": certificate.subject.rfc4514_string(), "serial": f"{certificate.serial_number:x}", "held_in": held, "note": note,
        "not_before_ms": int(certificate.not_valid_before_utc.timestamp() * 1000), "not_after_ms": int(certificate.not_valid_after_utc.timestamp() * 1000),
    }  # fmt: skip


def _unaware(session: Session, keys: FleetKeys, label: str, now_ms: int, timing: Timing) -> tuple[int, int]:
    """(trusted machines that have not attested since the next generation was made, when it was made)."""
    made = session.get(Setting, f"ca-made:{label}")
    born = keys.next[label].certificate.not_valid_before_utc  # where the store lost the rest of that transaction
    since = int(made.value) if made else int((born + BACKDATED).timestamp() * 1000)
    query = select(func.count()).select_from(Device).where(Device.state == State.TRUSTED, Device.result_ms <= since)
    waiting = session.scalars(query).one()
    return (waiting if now_ms > since + timing.interval_ms // 2 else max(1, waiting)), since


def _known(label: str) -> None:
    if label not in ISSUING:
        raise Malformed.of(Reason.USAGE, f"an issuing CA: {', '.join(ISSUING)}", ascii(label[:40]), "the root lives ten years and is not rotated: found a new fleet")
