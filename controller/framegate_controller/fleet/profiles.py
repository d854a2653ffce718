"""Firmware profiles of the fleet: signed by its profile key or signers, every revision kept."""

from __future__ import annotations

from typing import Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.profile.signed import LoadedProfile, open_profile, profile_signer, signer_digest
from framegate.record.fleet_events import ProfileAdded, SignerRevoked
from framegate.registry.rollout import ProfileInForce, ProfileRevision, RevokedSigner
from framegate.signed.dsse import parse_envelope, seal_envelope
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.decisions import log_profile
from framegate_controller.store.shared.firmware import VerifiedProfiles

MAX_NAMED: Final = 8
"""Machines that a refusal names; somebody has to see to each, one after the other."""


def add_profile(tx: Transaction, keys: FleetKeys, toml: bytes) -> FirmwareProfile:
    """Parse, sign with the controller's profile key, keep and put in force.

    Raises Malformed, or Refused (see `import_profile`).
    """
    parse_profile(toml)
    key = keys.signing["profile"]
    envelope = seal_envelope(PROFILE_TYPE, toml, key.der, key.sign)
    return import_profile(tx, keys, envelope, in_force=True).profile


def import_profile(
    tx: Transaction, keys: FleetKeys, envelope: bytes, *, in_force: bool
) -> LoadedProfile:
    """Keep a signed profile.

    With `in_force` it counts from now on for every device that names it, else a rollout brings it.

    1. the signer's certificate is a profile signer's of this fleet, alive, and not revoked; the
       signature holds over the bytes that are then parsed;
    2. its revision is above every one kept (old ones never come back);
    3. every allowlist it names is in the store;
    4. it is for the kind of machine that earlier ones said, and no machine of another kind has it.

    Raises Malformed or Refused.
    """
    loaded = verify_profile(tx, keys, envelope)  # 1
    profile = loaded.profile
    newest = tx.profiles.newest(profile.name)
    if newest and profile.revision <= newest:  # 2
        hint = "raise revision in the file; old ones never come back"
        raise Refused.of(Reason.CONFLICT, f"a revision above {newest}", profile.revision, hint)
    for digest in profile.ima.allowlists if profile.ima else ():  # 3
        if not tx.evidence.has_allowlist(digest):
            wanted = f"the allowlist sha256:{digest.hex()} in the store"
            raise Refused.of(
                Reason.ALLOWLIST, wanted, "nothing", "give its file along: --allowlist FILE"
            )
    _require_same_kind(tx, profile)  # 4
    revision = ProfileRevision(
        name=profile.name,
        revision=profile.revision,
        version=profile.version,
        sha256=loaded.sha256,
        envelope=envelope,
        signer=loaded.signer,
        added_ms=tx.now_ms,
    )
    tx.profiles.add_revision(revision)
    log_profile(tx, revision)
    if in_force:
        put_in_force(tx, profile.name, profile.revision, envelope)
    tx.raise_firmware_revision()
    tx.record(ProfileAdded(profile=loaded.label, signer=loaded.signer, in_force=in_force))
    return loaded


def kind_of_profile(tx: Transaction, name: str) -> Kind | None:
    """The only kind of machine that profile `name` is for, as its newest revision says, which
    none after it unsays; None for any kind, and for a profile that is not here.

    The envelope was verified when it was imported, and is again before it appraises anything.
    """
    row = tx.profiles.revision(name, tx.profiles.newest(name))
    return kind_of_revision(row) if row is not None else None


def kind_of_revision(kept: ProfileRevision) -> Kind | None:
    """What a kept revision says that it is for. Raises Malformed where the row was edited."""
    return parse_profile(parse_envelope(kept.envelope, PROFILE_TYPE).payload).kind


def _require_same_kind(tx: Transaction, profile: FirmwareProfile) -> None:
    before, hint = kind_of_profile(tx, profile.name), "give the profile another name"
    if before is not None and profile.kind != before:
        wanted = f"a revision for {before}s, as those of {profile.name} before it"
        came = f"kind {profile.kind}" if profile.kind is not None else "no kind"
        raise Refused.of(Reason.PROFILE_KIND, wanted, came, hint)
    others = [k for k in Kind if profile.kind not in (None, k)]
    strange = [d for k in others for d in tx.devices.all(kind=k, profile=profile.name)]
    named = [d.id for d in strange if d.state != State.RETIRED]
    if named:
        wanted = f"only {profile.kind}s under {profile.name}, which is for {profile.kind}s"
        raise Refused.of(Reason.PROFILE_KIND, wanted, ", ".join(named[:MAX_NAMED]), hint)


def put_in_force(tx: Transaction, name: str, revision: int, envelope: bytes) -> None:
    """From now on `revision` is what devices of this profile are appraised by.

    The caller MUST raise the firmware revision.
    """
    tx.profiles.put_in_force(
        ProfileInForce(name=name, revision=revision, envelope=envelope, added_ms=tx.now_ms)
    )


def load_profile(
    tx: Transaction, keys: FleetKeys, name: str, verified: VerifiedProfiles | None = None
) -> LoadedProfile:
    """The profile in force. Raises Refused (PROFILE_MISSING) or what verification says."""
    row = tx.profiles.in_force(name)
    if row is None:
        hint = "framegate profile import FILE; without a profile nothing is attested"
        raise Refused.of(Reason.PROFILE_MISSING, f"the firmware profile {name}", "none", hint)
    return _named(verify_profile(tx, keys, row.envelope, verified), name, row.revision)


def load_revision(
    tx: Transaction,
    keys: FleetKeys,
    name: str,
    revision: int,
    verified: VerifiedProfiles | None = None,
) -> LoadedProfile:
    """A revision that was imported, in force or not. Raises as `load_profile`."""
    row = tx.profiles.revision(name, revision)
    if row is None:
        wanted = f"revision {revision} of the firmware profile {name}"
        raise Refused.of(Reason.PROFILE_MISSING, wanted, "none", "framegate profile list")
    return _named(verify_profile(tx, keys, row.envelope, verified), name, revision)


def _named(loaded: LoadedProfile, name: str, revision: int) -> LoadedProfile:
    profile = loaded.profile
    if profile.name != name or profile.revision != revision:
        actual = f"{profile.name} revision {profile.revision}"
        raise Refused.of(Reason.PROFILE_INVALID, f"profile {name} revision {revision}", actual)
    return loaded


def verify_profile(
    tx: Transaction, keys: FleetKeys, envelope: bytes, verified: VerifiedProfiles | None = None
) -> LoadedProfile:
    """Check 1 of `import_profile`.

    With `verified` the certificate chain and the signature of the same envelope are verified once
    while the certificate lives; whether its signer was revoked is asked every time.
    """
    key = sha256(sha256(keys.root.der) + sha256(envelope))
    known = verified.get(key) if verified is not None else None
    if known is not None and known.lives(tx.now_ms):
        _require_word(tx, known.signer_sha256, known.signer)
        return known
    root = keys.root.certificate
    parsed = parse_envelope(envelope, PROFILE_TYPE)
    signer = profile_signer(parsed, root, from_ms(tx.now_ms))
    _require_word(tx, signer_digest(signer), signer.common_name)
    loaded = open_profile(parsed, signer, root)
    if verified is not None:
        verified.keep(key, loaded)
    return loaded


def revoke_signer(
    tx: Transaction, keys: FleetKeys, certificate: x509.Certificate, why: str
) -> RevokedSigner:
    """From now on a profile signer's word counts no more, for what is signed already too.

    One whose certificate has ended may be revoked as well. Raises Refused where it never was a
    profile signer of this fleet.
    """
    living = max(
        certificate.not_valid_before_utc, min(from_ms(tx.now_ms), certificate.not_valid_after_utc)
    )
    signer = verify_certificate(certificate, Purpose.PROFILE, (), keys.root.certificate, living)
    known = tx.profiles.revoked(signer_digest(signer))
    if known is not None:
        return known
    revoked = RevokedSigner(
        sha256=signer_digest(signer),
        subject=signer.common_name,
        at_ms=tx.now_ms,
        reason=why or "no reason given",
    )
    tx.profiles.revoke(revoked)
    tx.raise_firmware_revision()
    tx.record(SignerRevoked(signer=revoked.subject, why=revoked.reason))
    return revoked


def _require_word(tx: Transaction, signer_sha256: bytes, signer: str) -> None:
    revoked = tx.profiles.revoked(signer_sha256)
    if revoked is not None:
        wanted, hint = (
            "a profile signer whose word counts",
            "sign the profile anew with another key",
        )
        raise Refused.of(
            Reason.PROFILE_INVALID, wanted, f"{signer}, revoked: {revoked.reason}", hint
        )
