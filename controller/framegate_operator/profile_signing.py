"""`framegate profile sign` and `revoke-signer`: on whose word a profile counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity import pem
from framegate.profile.model import PROFILE_TYPE, parse_profile
from framegate.profile.review import lint
from framegate.signed.dsse import parse_envelope, seal_envelope
from framegate_host.console import confirm, safe, talk, typed
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.options import Context, SignerKey, write
from framegate_operator.output import errors
from framegate_operator.profile_files import File
from framegate_proto.v1 import framegate_pb2 as pb


def sign(
    file: File,
    key: SignerKey,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the signed profile; default: FILE.signed")
    ] = None,
    force: Annotated[bool, typer.Option(help="Sign although lint finds errors.")] = False,
) -> None:
    """Sign a profile. Refuses one in which lint finds an error, unless forced."""
    with errors():
        target = sign_profile(file, key, out, force=force)
        talk.print(f"next: framegate profile import {typed(target)} --allowlist FILE")


def sign_profile(file: Path, key: Path, out: Path | None = None, *, force: bool = False) -> Path:
    """Sign the profile in `file` with the key and certificate in `key`; returns where it was
    written. What is signed already, by that key, stays as it is: somebody may have approved just
    those bytes. Raises Refused where lint finds an error and nothing is forced, Malformed.
    """
    raw = read_file(file)
    bad = [r for r in lint(parse_profile(raw)) if r.error]
    if bad and not force:
        raise Refused.of(
            Reason.PROFILE_INVALID,
            "a profile without errors",
            f"{bad[0].about}: {bad[0].text}",
            "framegate profile lint FILE shows all; --force signs it all the same",
        )
    private, certificate = _signer(read_file(key))
    target = out or file.with_name(file.name + ".signed")
    der = certificate.public_bytes(Encoding.DER)
    if not _is_signed(target, raw, der):
        signed = seal_envelope(
            PROFILE_TYPE, raw, der, lambda m: private.sign(m, ec.ECDSA(hashes.SHA256()))
        )
        write_public(target, signed)
    talk.print(f"{safe(target)}: signed by {safe(certificate.subject.rfc4514_string())}")
    return target


def _is_signed(target: Path, raw: bytes, signer: bytes) -> bool:
    """Whether `target` says to be `raw`, signed by `signer`; that it is, the controller checks."""
    try:
        envelope = parse_envelope(target.read_bytes(), PROFILE_TYPE)
    except (OSError, FramegateError):
        return False
    return envelope.payload == raw and envelope.certificate == signer


def _signer(pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        private, certificate = (
            serialization.load_pem_private_key(pem, None),
            x509.load_pem_x509_certificate(pem),
        )
    except (ValueError, TypeError) as error:
        raise Malformed.of(
            Reason.USAGE,
            "a private key and its certificate in PEM",
            type(error).__name__,
            "framegate-controller profile signer NAME --out FILE makes them",
        ) from error
    if (
        not isinstance(private, ec.EllipticCurvePrivateKey)
        or private.public_key() != certificate.public_key()
    ):
        raise Malformed.of(Reason.USAGE, "a P-256 key and its own certificate", "another")
    return private, certificate


@write
def revoke_signer(
    certificate: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="The signer's certificate, or a profile that it signed.",
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; kept and shown.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    context: Context = None,
) -> None:
    """A signer's word counts no more. Profiles it signed stop counting at once: their devices go
    stale until another is in force.
    """
    with errors():
        raw = read_file(certificate)
        der = (
            pem.certificate(raw, certificate).public_bytes(Encoding.DER)
            if b"-----BEGIN CERTIFICATE" in raw
            else parse_envelope(raw, PROFILE_TYPE).certificate
        )
        if not yes:
            confirm("revoke this signer for good?")
        with operator_stub(load_context(context)) as stub:
            row = stub.RevokeSigner(pb.RevokeSignerRequest(certificate=der, reason=reason))
        talk.print(f"revoked: {safe(row.subject)} ({safe(row.reason)})")
