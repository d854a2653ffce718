"""Signatures of model bundles, as the OpenSSF model-signing tool writes and reads them: offline, by
a key or by a certificate.

A signature is a Sigstore bundle (v0.3, JSON) around a DSSE envelope around an in-toto statement
(v1) whose predicate lists every file of the model with its SHA-256, and whose subject's digest is
that of those digests one after another. Sources: OpenSSF Model Signing v1.0 specification, sections
3 and 4; Sigstore protobuf-specs, `sigstore_bundle.proto`; in-toto attestation framework v1,
statement.

The tool checks a signer's chain and leaves open who it is; here a certificate must be for code
signing, and its name must be one the caller allows (N104).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import common_name, spki_of
from framegate.signed.dsse import pae, strict_json
from framegate.wire import sha256

SIGNATURE_NAME: Final = "model.sig"
"""The tool's own default; of all files of a bundle this one alone is not signed."""
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_SIGNATURE_BYTES: Final = 4 * 1024 * 1024
"""A few thousand files of 100 bytes each in base64."""
_HASHES: Final[Mapping[str, Callable[[], hashes.HashAlgorithm]]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
"""Curves the tool signs with, and the hash that goes with each."""


@dataclass(frozen=True, slots=True)
class SignedModel:
    """What a signature that holds says; made by `verify_model` only. `signer` is "key SHA256" or
    the certificate's name.
    """

    name: str
    digest: bytes
    signer: str


def bundle_digest(files: Mapping[str, bytes]) -> bytes:
    """One SHA-256 for a set of files, name to SHA-256: over "framegate/v2/bundle", then each name
    in order of its bytes, its length before it, and digest.
    """
    ordered = sorted(
        (name.encode(), digest) for name, digest in files.items() if name != SIGNATURE_NAME
    )
    return sha256(
        b"framegate/v2/bundle"
        + b"".join(len(name).to_bytes(4, "big") + name + digest for name, digest in ordered)
    )


def sign_model(
    name: str,
    files: Mapping[str, bytes],
    key: ec.EllipticCurvePrivateKey,
    chain: Sequence[x509.Certificate] = (),
) -> bytes:
    """The signature file for `files` (name to SHA-256) of the model `name`; with `chain`, leaf
    first, in certificate mode. Raises Refused for another curve or key.
    """
    algorithm = _hash_of(key.public_key())
    if chain and chain[0].public_key() != key.public_key():
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            "a certificate of the signing key",
            chain[0].subject.rfc4514_string(),
            "give the pair that belongs together",
        )
    payload = json.dumps(_statement(name, files), separators=(",", ":")).encode()
    signature = key.sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(algorithm))
    if chain:
        material: dict[str, Any] = {
            "x509CertificateChain": {
                "certificates": [{"rawBytes": _b64(c.public_bytes(Encoding.DER))} for c in chain]
            }
        }
    else:
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        material = {"publicKey": {"hint": sha256(pem).hex()}}
    envelope = {
        "payload": _b64(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _b64(signature), "keyid": ""}],
    }
    return json.dumps(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {**material, "tlogEntries": []},
            "dsseEnvelope": envelope,
        },
        indent=1,
    ).encode()


def verify_model(
    signature: bytes,
    files: Mapping[str, bytes],
    *,
    keys: Sequence[ec.EllipticCurvePublicKey] = (),
    roots: Sequence[x509.Certificate] = (),
    signers: Sequence[str] = (),
    now: datetime | None = None,
) -> SignedModel:
    """That `files` (name to SHA-256, without the signature itself) are exactly what a trusted
    signer signed.

    1. the signature parses: one bundle, one envelope, one signature;
    2. it is by one of `keys`, or its certificate chains to one of `roots`, lives at `now`, may sign
       code (EKU) and is named in `signers`;
    3. the signature over the envelope holds;
    4. the payload is an in-toto statement of model signing, its subject's digest that of its files;
    5. the files it names are the files there are: none missing, none more, none changed.

    Raises Malformed or Refused (MODEL_SIGNATURE).
    """
    material, payload, raw = _parsed(signature)  # 1
    key, who = _signer(material, keys, roots, signers, now or datetime.now(UTC))  # 2
    try:  # 3
        key.verify(raw, pae(PAYLOAD_TYPE, payload), ec.ECDSA(_hash_of(key)))
    except InvalidSignature as error:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            f"a signature by {who}",
            "another",
            "the signature was made for other bytes or by another key",
        ) from error
    name, signed = _files_of(payload)  # 4
    here = {n: d for n, d in files.items() if n != SIGNATURE_NAME}
    for wrong, what in (
        (set(here) - set(signed), "a file that is not signed"),
        (set(signed) - set(here), "a signed file is missing"),
    ):  # 5
        if wrong:
            raise Refused.of(
                Reason.MODEL_SIGNATURE,
                "the signed files, no more and no less",
                f"{what}: {ascii(sorted(wrong)[0])[:120]}",
            )
    changed = sorted(n for n in signed if signed[n] != here[n])
    if changed:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            f"{ascii(changed[0])[:120]} as it was signed",
            "another file",
            "it was changed after it was signed",
        )
    return SignedModel(name, bundle_digest(here), who)


def key_words(key: ec.EllipticCurvePublicKey) -> str:
    """How a signing key is named: the first sixteen digits of its SubjectPublicKeyInfo's
    SHA-256.
    """
    return f"key {sha256(spki_of(key)).hex()[:16]}"


def claimed_files(signature: bytes) -> dict[str, bytes]:
    """Name to SHA-256 of the files that a signature claims to be over, by nobody's word: whose it
    is was not looked at. Raises Malformed or Refused (MODEL_SIGNATURE).
    """
    return _files_of(_parsed(signature)[1])[1]


def _statement(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    ordered = sorted((n, d) for n, d in files.items() if n != SIGNATURE_NAME)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _of_digests(d for _, d in ordered).hex()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": [
                {"name": n, "algorithm": "sha256", "digest": d.hex()} for n, d in ordered
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE_NAME],
            },
        },
    }


def _of_digests(digests: Any) -> bytes:
    return sha256(b"".join(digests))


def _parsed(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Verification material, payload and signature, none of them believed yet."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise Malformed.of(
            Reason.MODEL_SIGNATURE, f"a signature of at most {MAX_SIGNATURE_BYTES} bytes", len(data)
        )
    if not data:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            f"a signed bundle, with {SIGNATURE_NAME} in it",
            "an unsigned one",
            "framegate model sign BUNDLE --key KEY",
        )
    body = strict_json(data)
    try:
        envelope = body["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        parsed = (
            dict(body["verificationMaterial"]),
            base64.b64decode(envelope["payload"], validate=True),
            base64.b64decode(signature["sig"], validate=True),
        )
        media, kind = str(body["mediaType"]), str(envelope["payloadType"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed.of(
            Reason.MODEL_SIGNATURE,
            "a Sigstore bundle with one DSSE signature",
            type(error).__name__,
        ) from error
    if media != MEDIA_TYPE or kind != PAYLOAD_TYPE:
        raise Malformed.of(
            Reason.MODEL_SIGNATURE,
            f"{MEDIA_TYPE} with {PAYLOAD_TYPE}",
            ascii(f"{media} with {kind}")[:160],
        )
    return parsed


def _signer(
    material: dict[str, Any],
    keys: Sequence[ec.EllipticCurvePublicKey],
    roots: Sequence[x509.Certificate],
    signers: Sequence[str],
    now: datetime,
) -> tuple[ec.EllipticCurvePublicKey, str]:
    """The key that must have signed, and its name in words. Raises Malformed or Refused."""
    if "x509CertificateChain" in material:
        return _certified(material["x509CertificateChain"], roots, signers, now)
    hint = material.get("publicKey", {})
    hint = str(hint.get("hint", "")) if type(hint) is dict else ""
    for key in keys:
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if hint in {sha256(pem).hex(), ""}:
            return key, key_words(key)
    raise Refused.of(
        Reason.MODEL_SIGNATURE,
        f"a signature by one of {len(keys)} trusted keys",
        f"key hint {ascii(hint)[:80]}",
        "register its public key, or sign with a known one",
    )


def _certified(
    chain: Any, roots: Sequence[x509.Certificate], signers: Sequence[str], now: datetime
) -> tuple[ec.EllipticCurvePublicKey, str]:
    try:
        certificates = [
            x509.load_der_x509_certificate(base64.b64decode(c["rawBytes"], validate=True))
            for c in chain["certificates"][:8]
        ]
        leaf, between = certificates[0], certificates[1:]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Malformed.of(
            Reason.MODEL_SIGNATURE,
            "a chain of DER certificates, the signer's first",
            type(error).__name__,
        ) from error
    if not roots:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            "a trusted root of model signers",
            "none",
            "framegate model verify --root ROOT.pem",
        )
    try:
        anyone = ExtensionPolicy.permit_all().require_present(
            x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_sign_code
        )
        issuers = ExtensionPolicy.permit_all().require_present(
            x509.BasicConstraints, Criticality.AGNOSTIC, None
        )
        builder = (
            PolicyBuilder()
            .store(Store(list(roots)))
            .time(now)
            .extension_policies(ca_policy=issuers, ee_policy=anyone)
        )
        builder.build_client_verifier().verify(leaf, between)
    except (VerificationError, ValueError) as error:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            "a certificate for code signing that chains to a trusted root and lives now",
            str(error)[:160],
        ) from error
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused.of(Reason.MODEL_SIGNATURE, "an elliptic-curve key", type(key).__name__)
    name = common_name(leaf, Reason.MODEL_SIGNATURE)
    if name not in signers:
        raise Refused.of(
            Reason.MODEL_SIGNATURE,
            f"a signer among {', '.join(signers) or 'none'}",
            ascii(name)[:120],
            "name who may sign: --signer NAME",
        )
    return key, name


def _may_sign_code(
    _policy: Any, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage
) -> None:
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("not for code signing")


def _files_of(payload: bytes) -> tuple[str, dict[str, bytes]]:
    """The model's name and its files, out of verified bytes."""
    body = strict_json(payload)
    try:
        (subject,) = body["subject"]
        kinds, resources = (body["_type"], body["predicateType"]), body["predicate"]["resources"]
        files = {
            str(r["name"]): bytes.fromhex(r["digest"])
            for r in resources
            if r["algorithm"] == "sha256"
        }
        whole, name = bytes.fromhex(subject["digest"]["sha256"]), str(subject["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed.of(
            Reason.MODEL_SIGNATURE,
            "an in-toto statement of one model's files",
            type(error).__name__,
        ) from error
    if (
        kinds != (STATEMENT_TYPE, PREDICATE_TYPE)
        or len(files) != len(resources)
        or any(len(d) != 32 for d in files.values())
    ):
        raise Malformed.of(
            Reason.MODEL_SIGNATURE,
            f"{PREDICATE_TYPE} with each file's SHA-256 once",
            ascii(kinds)[:160],
        )
    if _of_digests(files[n] for n in sorted(files)) != whole:
        raise Refused.of(
            Reason.MODEL_SIGNATURE, "a subject that is the digest of its files", whole.hex()
        )
    return name, files


def _hash_of(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    algorithm = _HASHES.get(key.curve.name)
    if algorithm is None:
        raise Refused.of(
            Reason.MODEL_SIGNATURE, f"a key on one of {', '.join(_HASHES)}", key.curve.name
        )
    return algorithm()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
