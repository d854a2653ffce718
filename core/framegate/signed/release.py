"""Signatures of the project's own releases: who built which files of what.

A Sigstore bundle (v0.3) around a DSSE envelope around an in-toto statement (v1) whose subjects are
the released files and whose predicate is SLSA provenance (v1): the same form as of models, so that
other tools read it too. Sources: slsa.dev/provenance/v1; in-toto attestation framework v1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import spki_of
from framegate.signed.dsse import pae, strict_json
from framegate.wire import sha256

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "framegate:make-release/v1"
"""How the files came to be: `make release` in a checkout of the commit that is named."""
MAX_BUNDLE_BYTES: Final = 1024 * 1024
"""Some dozen files and some hundred requirements, in base64."""
SIGNED_NAME: Final = "release.sigstore.json"
"""What the bundle of a release is called, beside its files."""
UNSIGNED_NAME: Final = "release.intoto.json"
"""What its statement is called where nobody has signed it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is said of a release: its version, the commit (hex) it was built from, what it was built
    with (package URL to SHA-256 in hex), and its files (name to SHA-256).
    """

    version: str
    commit: str
    materials: Mapping[str, str]
    files: Mapping[str, bytes]


def statement_of(release: Provenance) -> bytes:
    """What is signed: the in-toto statement as JSON, the same for the same release."""
    return json.dumps(_statement(release), separators=(",", ":"), sort_keys=True).encode()


def sign_release(release: Provenance, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The bundle of `release`. `key` is on P-256."""
    payload = statement_of(release)
    signature = key.sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    body = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": sha256(spki_of(key.public_key())).hex()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(body, indent=1).encode()


class Taken(NamedTuple):
    """A file that somebody took: what it is called, and the SHA-256 of its bytes."""

    name: str
    digest: bytes


def verify_release(
    bundle: bytes, files: Iterable[Taken], key: ec.EllipticCurvePublicKey
) -> Provenance:
    """That each of `files` is one of the release that `key` signed.

    1. the bundle parses: one envelope, one signature, of the types that a release has;
    2. the signature over the envelope is by `key`, whatever key the bundle itself speaks of;
    3. the payload is an in-toto statement with provenance of our way to build, each file once;
    4. every file asked for is named in it, with its very digest, each of those that are called
       alike as well (N191).

    A release has more files than somebody takes: those that are not asked for may be missing.
    Raises Malformed (ENVELOPE) or Refused (SIGNATURE).
    """
    parsed = _parsed(bundle)  # 1
    try:  # 2
        key.verify(parsed.signature, pae(PAYLOAD_TYPE, parsed.payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        wanted = f"a signature by key {sha256(spki_of(key)).hex()[:16]}"
        hint = "is it the key that the project published, and the bundle of this release?"
        raise Refused.of(Reason.SIGNATURE, wanted, "another", hint) from error
    release = _provenance(parsed.payload)  # 3
    for name, digest in files:  # 4
        signed = release.files.get(name)
        if signed is None:
            wanted, seen = f"a file of release {release.version}", ascii(name)[:120]
            raise Refused.of(Reason.SIGNATURE, wanted, seen, "take the file of this very release")
        if signed != digest:
            wanted, hint = f"{ascii(name)[:120]} as it was released", "do not install it"
            raise Refused.of(Reason.SIGNATURE, wanted, f"sha256 {digest.hex()}", hint)
    return release


def _statement(release: Provenance) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest.hex()}}
            for name, digest in sorted(release.files.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": release.version},
                "resolvedDependencies": [
                    {"uri": "git+framegate", "digest": {"gitCommit": release.commit}},
                    *(
                        {"uri": uri, "digest": {"sha256": digest}}
                        for uri, digest in sorted(release.materials.items())
                    ),
                ],
            },
            "runDetails": {"builder": {"id": "framegate:make-release"}},
        },
    }


@dataclass(frozen=True, slots=True)
class _Bundle:
    payload: bytes
    signature: bytes


def _parsed(data: bytes) -> _Bundle:
    """Payload and signature, neither believed yet."""
    if len(data) > MAX_BUNDLE_BYTES:
        wanted = f"a bundle of at most {MAX_BUNDLE_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(data))
    body = strict_json(data)
    try:
        envelope = body["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        parsed = _Bundle(
            base64.b64decode(envelope["payload"], validate=True),
            base64.b64decode(signature["sig"], validate=True),
        )
        kinds = (str(body["mediaType"]), str(envelope["payloadType"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wanted = "a Sigstore bundle with one DSSE signature"
        raise Malformed.of(Reason.ENVELOPE, wanted, type(error).__name__) from error
    if kinds != (MEDIA_TYPE, PAYLOAD_TYPE):
        wanted = f"{MEDIA_TYPE} with {PAYLOAD_TYPE}"
        raise Malformed.of(Reason.ENVELOPE, wanted, ascii(" with ".join(kinds))[:160])
    return parsed


def _provenance(payload: bytes) -> Provenance:
    """What verified bytes say."""
    body = strict_json(payload)
    try:
        subjects = body["subject"]
        files = {str(s["name"]): bytes.fromhex(s["digest"]["sha256"]) for s in subjects}
        definition = body["predicate"]["buildDefinition"]
        source, *materials = definition["resolvedDependencies"]
        release = Provenance(
            str(definition["externalParameters"]["version"]),
            str(source["digest"]["gitCommit"]),
            {str(m["uri"]): str(m["digest"]["sha256"]) for m in materials},
            files,
        )
        kinds = (body["_type"], body["predicateType"], definition["buildType"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wanted = "an in-toto statement with the provenance of a release"
        raise Malformed.of(Reason.ENVELOPE, wanted, type(error).__name__) from error
    whole = len(files) == len(subjects) and all(len(d) == 32 for d in files.values())
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE, BUILD_TYPE) or not whole:
        wanted = f"{PREDICATE_TYPE} of {BUILD_TYPE}, each file's SHA-256 once"
        raise Malformed.of(Reason.ENVELOPE, wanted, ascii(kinds)[:160])
    return release
