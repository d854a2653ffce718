"""People and policies for tests, benches and plants: sessions without typing, and what a gateway hears of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyotp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.policy import PolicyStatement, default_files
from framegate.access.questions import device_facts
from framegate.access.verbs import Scoped, parse_scoped
from framegate.certificates import spki_of
from framegate.identity import split_device_id
from framegate.wire import sha256
from framegate_controller.access.factors import FactorKey, hash_password, new_totp
from framegate_controller.ca.issuance import issue_operator
from framegate_controller.ca.keyring import private_pem
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.database import Database
from framegate_controller.store.tables import Device, OperatorRow, OperatorSession
from framegate_proto.v1 import framegate_pb2 as pb

PASSWORD: Final = "correct horse battery staple"  # noqa: S105 - simulated people
_HASHED: list[str] = []
ROLES: Final = ("engineer", "security")


def signed_policy(keys: FleetKeys, files: Mapping[str, str] | None = None, version: int = 1) -> bytes:
    """An access policy as the controller would sign it."""
    texts = files or default_files()
    statement = PolicyStatement(
        version=version, files=tuple({"name": n, "text": t} for n, t in sorted(texts.items())), applied_by="test", applied_at_ms=time.time_ns() // 1_000_000
    )
    return statement.seal(keys.signing["policy"].der, keys.signing["policy"].sign)


def access_update(
    keys: FleetKeys, operators: Sequence[pb.OperatorTrust] = (), *, policy: bytes = b"", quorum: int = 1, grace: bool = False, frozen: bool = False
) -> pb.AccessUpdate:
    """What a gateway hears of people and policy."""
    return pb.AccessUpdate(policy=policy or signed_policy(keys), operators=operators, quorum=quorum, grace=grace, frozen=frozen, authorities=keys.authorities)


def operator_trust(name: str, pair: tuple[bytes, bytes], *roles: str, factor_ms: int = 0, break_glass: bool = False) -> pb.OperatorTrust:
    """A signed-in operator as a gateway hears of them; `pair` as `operator_pair` gives it."""
    from cryptography.x509 import load_pem_x509_certificates

    key = load_pem_x509_certificates(pair[1])[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    now = time.time_ns() // 1_000_000
    session = pb.SessionTrust(spki_sha256=sha256(spki_of(key)), expires_ms=now + 3_600_000, factor_ms=factor_ms or now, break_glass=break_glass)
    return pb.OperatorTrust(name=name, roles=roles or ROLES, sessions=[session])


def facts_text(device: str, *, state: str = "trusted", maintenance: bool = False, **posture: Any) -> str:
    """Facts of a device, as the feed has them."""
    kind, zone, name = split_device_id(device)
    return json.dumps(device_facts(device=device, kind=kind, zone=zone, name=name, state=state, maintenance=maintenance, profile=f"simulated-{kind}", vector={}, posture=posture))


def operator_pair(keys: FleetKeys, name: str, life: timedelta = timedelta(hours=8)) -> tuple[bytes, bytes]:
    """(key PEM, chain PEM) of an operator; worth nothing without a session."""
    key = ec.generate_private_key(ec.SECP256R1())
    return private_pem(key), issue_operator(keys, name, key.public_key(), life).public_bytes(Encoding.PEM) + keys.issuing["operator-ca"].pem


def add_person(database: Database, keys: FleetKeys, name: str, *roles: str, added_ms: int = 0, added_by: str = "host") -> str:
    """An operator with password and TOTP in the store; returns the TOTP secret."""
    if not _HASHED:
        _HASHED.append(hash_password(PASSWORD))
    secret = new_totp()
    scoped: list[Scoped] = [parse_scoped(r) for r in roles or ROLES]
    with database.transaction() as session:
        session.add(OperatorRow(
            name=name, enabled=True, roles=json.dumps([[r.role, r.zone] for r in scoped]), password=_HASHED[0], totp=FactorKey(keys.factor_key).seal(secret, name),
            added_ms=added_ms, added_by=added_by, vouched=True,
        ))  # fmt: skip
    return secret


def signed_in(database: Database, keys: FleetKeys, name: str, *roles: str, factor_age_s: float = 0) -> tuple[bytes, bytes]:
    """(key PEM, chain PEM) of an operator with a session; adds the operator where there is none."""
    pair = operator_pair(keys, name)
    trust = operator_trust(name, pair)
    with database.transaction() as session:
        known = session.get(OperatorRow, name) is not None
    if not known:
        add_person(database, keys, name, *roles)
    now = time.time_ns() // 1_000_000
    with database.transaction() as session:
        session.add(OperatorSession(
            spki_sha256=trust.sessions[0].spki_sha256, operator=name, began_ms=now, expires_ms=now + 8 * 3_600_000, factor_ms=now - int(factor_age_s * 1000), method="password",
            source="ipv4:127.0.0.1",
        ))  # fmt: skip
    return pair


def totp_now(secret_or_uri: str) -> str:
    """The code of this moment."""
    if secret_or_uri.startswith("otpauth://"):
        parsed = pyotp.parse_uri(secret_or_uri)
        assert isinstance(parsed, pyotp.TOTP)
        return parsed.now()
    return pyotp.TOTP(secret_or_uri).now()


def certificate_request(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """What a person's machine sends at sign-in: a request (DER) signed by its key, by default a fresh one."""
    made = key or ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(made, hashes.SHA256()).public_bytes(Encoding.DER)


def device_row(name: str, state: str, *, zone: str = "line-1", **members: Any) -> Device:
    """A camera as the registry has it, without anything having joined: what no default fills is blank."""
    blank: dict[type, Any] = {str: "", int: 0, bytes: b"", bool: False}
    columns = Device.__table__.columns
    filled = {c.name: blank[c.type.python_type] for c in columns if not c.nullable and c.default is None and c.server_default is None}
    return Device(**filled | {"id": f"camera.{zone}.{name}", "name": name, "kind": "camera", "zone": zone, "state": state, "profile": "simulated-camera"} | members)


def write_secret(path: Path, text: str) -> Path:
    """A file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
