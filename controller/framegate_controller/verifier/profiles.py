"""Firmware profiles of the fleet: added on the controller's host, signed by the profile key, verified at every load."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy.orm import Session

from framegate.certificates import Purpose, verify_certificate
from framegate.dsse import envelope_certificate, parse_envelope, seal_envelope, verify_envelope
from framegate.errors import Reason, Refused
from framegate.profile import FirmwareProfile, parse_profile
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.registry import record
from framegate_controller.store.tables import Profile

PROFILE_TYPE = "application/vnd.framegate.firmware-profile+toml"


def add_profile(session: Session, keys: FleetKeys, toml: bytes, actor: str, now_ms: int) -> FirmwareProfile:
    """Parse, sign and keep a profile. Raises Malformed, or Refused where its revision is not above the one kept (roll-back)."""
    profile = parse_profile(toml)
    row = session.get(Profile, profile.name)
    if row is not None and profile.revision <= row.revision:
        raise Refused.of(Reason.CONFLICT, f"a revision above {row.revision}", profile.revision, "raise revision in the file; old ones never come back")
    key = keys.signing["profile"]
    envelope = seal_envelope(PROFILE_TYPE, toml, key.der, key.sign)
    if row is None:
        session.add(Profile(name=profile.name, revision=profile.revision, envelope=envelope, added_ms=now_ms))
    else:
        row.revision, row.envelope, row.added_ms = profile.revision, envelope, now_ms
    record(session, now_ms, "", "profile-added", actor, f"{profile.name} {profile.version} revision {profile.revision}")
    return profile


def load_profile(session: Session, keys: FleetKeys, name: str) -> FirmwareProfile:
    """The profile, out of bytes whose signature by this fleet's profile key holds. Raises Refused (PROFILE_MISSING) or what verification says."""
    row = session.get(Profile, name)
    if row is None:
        raise Refused.of(Reason.PROFILE_MISSING, f"the firmware profile {name}", "none", "framegate-controller profile add FILE; without a profile nothing is attested")
    profile = _verified(row.envelope, keys)
    if profile.name != name or profile.revision != row.revision:
        raise Refused.of(Reason.PROFILE_INVALID, f"profile {name} revision {row.revision}", f"{profile.name} revision {profile.revision}")
    return profile


def profile_digest(session: Session, name: str) -> bytes:
    """SHA-256 of the profile's signed TOML: how a receipt names what a machine was appraised under. The caller MUST have loaded it."""
    row = session.get(Profile, name)
    return sha256(parse_envelope(row.envelope, PROFILE_TYPE).payload) if row else b""


@lru_cache(maxsize=64)
def _parsed(payload: bytes) -> FirmwareProfile:
    return parse_profile(payload)


def _verified(envelope_bytes: bytes, keys: FleetKeys) -> FirmwareProfile:
    envelope = parse_envelope(envelope_bytes, PROFILE_TYPE)
    signer = verify_certificate(envelope_certificate(envelope), Purpose.PROFILE, (), keys.root.certificate, datetime.now(UTC))
    return _parsed(verify_envelope(envelope, signer.key))
