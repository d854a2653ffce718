"""Signatures over model bundles, in both modes."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.signed.dsse import pae
from framegate.signed.model import (
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAME,
    bundle_digest,
    claimed_files,
    sign_model,
    verify_model,
)
from support.models import KEY, digests
from support.paths import VECTORS as VECTORS_DIR

VECTORS = VECTORS_DIR / "model_signing"


NOW = datetime(2027, 1, 1, tzinfo=UTC)


VECTOR_FILES = digests(VECTORS / "model")


VECTOR_KEY = load_pem_public_key((VECTORS / "key.pub.pem").read_bytes())


VECTOR_ROOT = x509.load_pem_x509_certificate((VECTORS / "root.pem").read_bytes())


SIGNER = "release@framegate.example"


def test_signatures_of_the_openssf_tool_hold():
    assert verify_model(
        (VECTORS / "key.sig").read_bytes(), VECTOR_FILES, keys=[VECTOR_KEY]
    ).digest == bundle_digest(VECTOR_FILES)
    assert (
        verify_model(
            (VECTORS / "codeSigning.sig").read_bytes(),
            VECTOR_FILES,
            roots=[VECTOR_ROOT],
            signers=[SIGNER],
            now=NOW,
        ).signer
        == SIGNER
    )


@given(st.binary(max_size=200))
def test_signatures_of_any_bytes_raise_only_our_errors(data):
    good = sign_model("m", VECTOR_FILES, KEY)
    for raw in (data, good[: len(data) * 3], good.replace(b"sha256", data[:6] or b"x")):
        if raw == good:
            continue
        with pytest.raises(FramegateError):
            verify_model(raw, VECTOR_FILES, keys=[KEY.public_key()])


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_what_we_sign_we_accept_in_both_modes(curve):
    key = ec.generate_private_key(curve)
    assert verify_model(sign_model("m", VECTOR_FILES, key), VECTOR_FILES, keys=[key.public_key()])
    with pytest.raises(Refused, match="certificate of the signing key"):
        sign_model("m", VECTOR_FILES, key, [VECTOR_ROOT])
    with pytest.raises(Refused, match="a key on one of"):
        sign_model("m", VECTOR_FILES, ec.generate_private_key(ec.SECP256K1()))


def test_a_certificate_of_a_p521_chain_signs(tmp_path):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    root_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    )
    root = (
        builder.subject_name(name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(root_key, hashes.SHA384())
    )
    leaf = (
        builder.subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ci")]))
        .public_key(key.public_key())
        .serial_number(2)
    )
    leaf = leaf.add_extension(
        x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
    )
    leaf = leaf.add_extension(
        x509.SubjectAlternativeName([x509.RFC822Name("ci@plant.example")]), critical=False
    ).sign(root_key, hashes.SHA384())
    signature = sign_model("m", VECTOR_FILES, key, [leaf])
    assert (
        verify_model(signature, VECTOR_FILES, roots=[root], signers=["ci"], now=NOW).signer == "ci"
    )


def test_signatures_that_are_something_else():
    good = sign_model("m", VECTOR_FILES, KEY)
    body = json.loads(good)
    envelope = body["dsseEnvelope"]
    for raw in (
        b" " * (MAX_SIGNATURE_BYTES + 1),
        json.dumps({**body, "mediaType": "text/plain"}).encode(),
        json.dumps({**body, "dsseEnvelope": {**envelope, "payloadType": "x"}}).encode(),
        json.dumps({**body, "dsseEnvelope": {**envelope, "signatures": []}}).encode(),
        json.dumps({**body, "dsseEnvelope": {**envelope, "payload": "!"}}).encode(),
    ):
        with pytest.raises(Malformed):
            verify_model(raw, VECTOR_FILES, keys=[KEY.public_key()])
    for chain in ({"certificates": []}, {"certificates": [{"rawBytes": "!"}]}, {}):
        material = {"x509CertificateChain": chain}
        raw = json.dumps({**body, "verificationMaterial": material}).encode()
        with pytest.raises(FramegateError):
            verify_model(raw, VECTOR_FILES, roots=[VECTOR_ROOT], signers=[SIGNER], now=NOW)


def test_what_a_signature_claims_is_read_without_believing_it():
    assert claimed_files(sign_model("m", VECTOR_FILES, KEY)) == {
        n: d for n, d in VECTOR_FILES.items() if n != SIGNATURE_NAME
    }


def restated(change) -> bytes:
    """A signature by KEY over a statement that was changed before it was signed."""
    body = json.loads(sign_model("m", VECTOR_FILES, KEY))
    envelope = body["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    signature = KEY.sign(pae(envelope["payloadType"], payload), ec.ECDSA(hashes.SHA256()))
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(body).encode()


def resources_of(statement):
    return statement["predicate"]["resources"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda s: s.pop("subject"), Malformed, "an in-toto statement of one model's files"),
        (lambda s: s["subject"].append(s["subject"][0]), Malformed, "an in-toto statement"),
        (lambda s: resources_of(s)[0].update(digest="xyz"), Malformed, "an in-toto statement"),
        (lambda s: s.update(predicateType="another"), Malformed, "with each file's SHA-256 once"),
        (lambda s: resources_of(s)[0].update(algorithm="md5"), Malformed, "SHA-256 once"),
        (lambda s: resources_of(s)[0].update(digest="ab"), Malformed, "SHA-256 once"),
        (lambda s: resources_of(s).append(resources_of(s)[0]), Malformed, "SHA-256 once"),
        (lambda s: resources_of(s)[0].update(digest="ab" * 32), Refused, "the digest of its files"),
    ],
    ids=["no subject", "two", "no hex", "type", "algorithm", "short", "twice", "other"],
)
def test_signed_statements_that_say_something_else(change, kind, message):
    assert verify_model(restated(lambda _: None), VECTOR_FILES, keys=[KEY.public_key()])
    with pytest.raises(kind, match=message) as caught:
        verify_model(restated(change), VECTOR_FILES, keys=[KEY.public_key()])
    assert caught.value.reason == Reason.MODEL_SIGNATURE


def test_a_signers_certificate_for_a_key_that_signs_no_models():
    root_key, name = ec.generate_private_key(ec.SECP256R1()), x509.NameOID.COMMON_NAME
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(name, "root")]))
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    )
    root = (
        builder.subject_name(x509.Name([x509.NameAttribute(name, "root")]))
        .public_key(root_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        builder.subject_name(x509.Name([x509.NameAttribute(name, "ci")]))
        .public_key(rsa.generate_private_key(65537, 2048).public_key())
        .serial_number(2)
        .add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name("ci@plant.example")]), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    body = json.loads(sign_model("m", VECTOR_FILES, KEY))
    raw = base64.b64encode(leaf.public_bytes(Encoding.DER)).decode()
    body["verificationMaterial"] = {"x509CertificateChain": {"certificates": [{"rawBytes": raw}]}}
    with pytest.raises(Refused, match=r"an elliptic-curve key, got .*RSAPublicKey") as caught:
        verify_model(json.dumps(body).encode(), VECTOR_FILES, roots=[root], signers=["ci"], now=NOW)
    assert caught.value.reason == Reason.MODEL_SIGNATURE
