"""Firmware profiles of the fleet: signed by the profile key or by a signer of the fleet, verified at every load, every revision kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, VerifiedCertificate, verify_certificate
from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.signed.dsse import envelope_certificate, parse_envelope, seal_envelope, verify_envelope
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.registry import record
from framegate_controller.store.tables import AllowlistRow, Profile, ProfileRevision, RevokedSigner


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile out of bytes whose signature holds. `sha256` is of the signed TOML: how results and receipts name it."""

    profile: FirmwareProfile
    sha256: bytes
    toml: bytes
    signer: str

    @property
    def words(self) -> str:
        """Name, version and revision."""
        return f"{self.profile.name} {self.profile.version} revision {self.profile.revision}"


def add_profile(session: Session, keys: FleetKeys, toml: bytes, actor: str, now_ms: int) -> FirmwareProfile:
    """Parse, sign with the controller's profile key, keep and put in force. Raises Malformed, or Refused (see `import_profile`)."""
    parse_profile(toml)
    key = keys.signing["profile"]
    return import_profile(session, keys, seal_envelope(PROFILE_TYPE, toml, key.der, key.sign), actor, now_ms, in_force=True).profile


def import_profile(session: Session, keys: FleetKeys, envelope: bytes, actor: str, now_ms: int, *, in_force: bool) -> LoadedProfile:
    """Keep a signed profile; with `in_force` it counts from now on for every device that names it, else a rollout will bring it.

    1. the signer's certificate is a profile signer's of this fleet, alive, and not revoked; the signature holds over the bytes that are then parsed;
    2. its revision is above every one kept (old ones never come back);
    3. every allowlist it names is in the store.

    Raises Malformed or Refused.
    """
    loaded = verify_profile(session, keys, envelope)  # 1
    profile = loaded.profile
    kept = session.scalars(select(ProfileRevision.revision).where(ProfileRevision.name == profile.name).order_by(ProfileRevision.revision.desc()).limit(1)).one_or_none()
    if kept is not None and profile.revision <= kept:  # 2
        raise Refused.of(Reason.CONFLICT, f"a revision above {kept}", profile.revision, "raise revision in the file; old ones never come back")
    for digest in profile.ima.allowlists if profile.ima else ():  # 3
        if session.get(AllowlistRow, digest) is None:
            raise Refused.of(Reason.ALLOWLIST, f"the allowlist sha256:{digest.hex()} in the store", "nothing", "give its file along: --allowlist FILE")
    session.add(ProfileRevision(
        name=profile.name, revision=profile.revision, version=profile.version, sha256=loaded.sha256, envelope=envelope, signer=loaded.signer, added_ms=now_ms,
    ))  # fmt: skip
    if in_force:
        put_in_force(session, profile.name, profile.revision, envelope, now_ms)
    record(session, now_ms, "", "profile-added", actor, f"{loaded.words}, signed by {loaded.signer}{'' if in_force else ', not in force'}")
    return loaded


def put_in_force(session: Session, name: str, revision: int, envelope: bytes, now_ms: int) -> None:
    """From now on `revision` is what devices of this profile are appraised by."""
    row = session.get(Profile, name)
    if row is None:
        session.add(Profile(name=name, revision=revision, envelope=envelope, added_ms=now_ms))
    else:
        row.revision, row.envelope, row.added_ms = revision, envelope, now_ms


def load_profile(session: Session, keys: FleetKeys, name: str) -> LoadedProfile:
    """The profile in force. Raises Refused (PROFILE_MISSING) or what verification says."""
    row = session.get(Profile, name)
    if row is None:
        raise Refused.of(Reason.PROFILE_MISSING, f"the firmware profile {name}", "none", "framegate profile import FILE; without a profile nothing is attested")
    return _named(verify_profile(session, keys, row.envelope), name, row.revision)


def load_revision(session: Session, keys: FleetKeys, name: str, revision: int) -> LoadedProfile:
    """A revision that was imported, in force or not. Raises as `load_profile`."""
    row = session.get(ProfileRevision, (name, revision))
    if row is None:
        raise Refused.of(Reason.PROFILE_MISSING, f"revision {revision} of the firmware profile {name}", "none", "framegate profile list")
    return _named(verify_profile(session, keys, row.envelope), name, revision)


def _named(loaded: LoadedProfile, name: str, revision: int) -> LoadedProfile:
    if loaded.profile.name != name or loaded.profile.revision != revision:
        raise Refused.of(Reason.PROFILE_INVALID, f"profile {name} revision {revision}", f"{loaded.profile.name} revision {loaded.profile.revision}")
    return loaded


def verify_profile(session: Session, keys: FleetKeys, envelope_bytes: bytes) -> LoadedProfile:
    """Check 1 of `import_profile`."""
    envelope = parse_envelope(envelope_bytes, PROFILE_TYPE)
    signer = verify_certificate(envelope_certificate(envelope), Purpose.PROFILE, (), keys.root.certificate, datetime.now(UTC))
    digest = signer_digest(signer)
    revoked = session.get(RevokedSigner, digest)
    if revoked is not None:
        raise Refused.of(Reason.PROFILE_INVALID, "a profile signer whose word counts", f"{signer.common_name}, revoked: {revoked.reason}", "sign the profile anew with another key")
    payload = verify_envelope(envelope, signer.key)
    return LoadedProfile(_parsed(payload), sha256(payload), payload, signer.common_name)


def signer_digest(signer: VerifiedCertificate) -> bytes:
    """What a revocation names."""
    return sha256(signer.spki)


@lru_cache(maxsize=64)
def _parsed(payload: bytes) -> FirmwareProfile:
    return parse_profile(payload)
