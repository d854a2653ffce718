"""Signatures over model bundles, in both modes."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Refused
from framegate.signed.model import MAX_SIGNATURE_BYTES, bundle_digest, sign_model, verify_model
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
    import json

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
