"""Signed firmware profiles: who may sign one, the profile out of bytes whose signature holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from framegate.identity.certificates import Purpose, VerifiedCertificate, verify_certificate
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.signed.dsse import Envelope, envelope_certificate, verify_envelope
from framegate.wire import sha256


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile out of bytes whose signature holds; made by `open_profile`.

    `sha256` is of the signed TOML: how results and receipts name it. `signer_sha256` is what a
    revocation names. The word of its signer is good from `since_ms` to `until_ms`.
    """

    profile: FirmwareProfile
    sha256: bytes
    toml: bytes
    signer: str
    signer_sha256: bytes
    since_ms: int
    until_ms: int

    @property
    def label(self) -> str:
        """Name, version and revision."""
        return f"{self.profile.name} {self.profile.version} revision {self.profile.revision}"

    def lives(self, now_ms: int) -> bool:
        """Whether its signer's certificate and the root live at `now_ms`."""
        return self.since_ms <= now_ms <= self.until_ms


def profile_signer(
    envelope: Envelope, root: x509.Certificate, now: datetime
) -> VerifiedCertificate:
    """The signer that `envelope` claims: a profile signer of this `root`'s fleet, alive at `now`.

    That the signer was not revoked, the caller MUST establish. Raises Malformed, Refused.
    """
    return verify_certificate(envelope_certificate(envelope), Purpose.PROFILE, (), root, now)


def signer_digest(signer: VerifiedCertificate) -> bytes:
    """SHA-256 of the signer's SPKI: what a revocation names."""
    return sha256(signer.spki)


def open_profile(
    envelope: Envelope, signer: VerifiedCertificate, root: x509.Certificate
) -> LoadedProfile:
    """The profile in `envelope`, after `signer`'s signature held over the bytes that are parsed.

    Raises Refused (SIGNATURE), Malformed.
    """
    payload = verify_envelope(envelope, signer.key)
    lives = (signer.certificate, root)
    return LoadedProfile(
        parse_profile(payload),
        sha256(payload),
        payload,
        signer.common_name,
        signer_digest(signer),
        max(_ms(c.not_valid_before_utc) for c in lives),
        min(_ms(c.not_valid_after_utc) for c in lives),
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
