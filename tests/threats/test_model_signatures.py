"""N104: who signed a model, and whether its files are the signed ones."""

import json
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.signed.model import SIGNATURE_NAME, sign_model, verify_model
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    load_bundle,
    parse_bundle,
    read_bundle_files,
)
from support.models import KEY, digests
from support.paths import VECTORS as VECTORS_DIR

VECTORS = VECTORS_DIR / "model_signing"


NOW = datetime(2027, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------- signatures


VECTOR_FILES = digests(VECTORS / "model")


VECTOR_KEY = load_pem_public_key((VECTORS / "key.pub.pem").read_bytes())


VECTOR_ROOT = x509.load_pem_x509_certificate((VECTORS / "root.pem").read_bytes())


SIGNER = "release@framegate.example"


@pytest.mark.parametrize(
    ("name", "given_", "message"),
    [
        ("codeSigning.sig", {"roots": [VECTOR_ROOT], "signers": ["mallory"]}, "a signer among"),
        ("codeSigning.sig", {"roots": [VECTOR_ROOT]}, "a signer among"),
        (
            "clientAuth.sig",
            {"roots": [VECTOR_ROOT], "signers": [SIGNER]},
            "code signing",
        ),  # the tool itself accepts this one
        ("codeSigning.sig", {"keys": [VECTOR_KEY]}, "a trusted root"),
        (
            "codeSigning.sig",
            {"roots": [VECTOR_ROOT], "signers": [SIGNER], "now": datetime(2040, 1, 1, tzinfo=UTC)},
            "lives now",
        ),
        ("key.sig", {"keys": [KEY.public_key()]}, "trusted keys"),
        ("key.sig", {"roots": [VECTOR_ROOT], "signers": [SIGNER]}, "trusted keys"),
    ],
)
def test_N104_signers_that_are_not_trusted(name, given_, message):
    with pytest.raises(Refused, match=message) as caught:
        verify_model((VECTORS / name).read_bytes(), VECTOR_FILES, **{"now": NOW, **given_})
    assert caught.value.reason == Reason.MODEL_SIGNATURE


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({**VECTOR_FILES, "model.onnx": bytes(32)}, "was changed"),
        ({**VECTOR_FILES, "extra": bytes(32)}, "not signed"),
        ({n: d for n, d in VECTOR_FILES.items() if n != "recipe.json"}, "missing"),
        ({}, "missing"),
    ],
)
def test_N104_files_that_are_not_the_signed_ones(files, message):
    with pytest.raises(Refused, match=message):
        verify_model((VECTORS / "key.sig").read_bytes(), files, keys=[VECTOR_KEY])


def test_N104_another_payload_under_a_good_signature():
    body = json.loads(sign_model("m", VECTOR_FILES, KEY))
    other = json.loads(sign_model("m", {**VECTOR_FILES, "model.onnx": bytes(32)}, KEY))
    body["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    with pytest.raises(Refused, match="a signature by key"):
        verify_model(
            json.dumps(body).encode(),
            {**VECTOR_FILES, "model.onnx": bytes(32)},
            keys=[KEY.public_key()],
        )


# ---------------------------------------------------------------- files of a bundle


@pytest.mark.parametrize(
    "name", ["extra.txt", "known/00_test.jpg", "model.onnx.data", ".hidden", "known/evil.py"]
)
def test_N104_extra_files_are_refused_by_name(model_bundle, name):
    (model_bundle / name).write_bytes(b"x")
    with pytest.raises(Malformed, match=name.replace(".", r"\.")):
        load_bundle(model_bundle)


def test_N104_links_and_folders_are_refused_by_name(model_bundle, tmp_path):
    (model_bundle / "deep").mkdir()
    with pytest.raises(Malformed, match="deep"):
        load_bundle(model_bundle)
    (model_bundle / "deep").rmdir()
    (model_bundle / "card.json").unlink()
    (model_bundle / "card.json").symlink_to("/etc/hostname")
    with pytest.raises(Malformed, match=r"a link or device 'card\.json'"):
        load_bundle(model_bundle)
    linked = tmp_path / "linked"
    linked.symlink_to(model_bundle)
    with pytest.raises(Unavailable):
        load_bundle(linked)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "known/../../x", "known/00_test.png/x", "model.sig"]
)
def test_N104_names_that_lead_out_of_a_bundle(name):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    with pytest.raises(Malformed):
        parse_bundle({**files, name: b"x"})


def test_N104_every_file_of_a_bundle_is_in_its_digest(model_bundle):
    before = load_bundle(model_bundle).digest
    for name in ("card.json", "known-answers.json", "weights.onnx"):
        original = (model_bundle / name).read_bytes()
        (model_bundle / name).write_bytes(original + b" ")
        assert load_bundle(model_bundle).digest != before, name
        (model_bundle / name).write_bytes(original)
    (model_bundle / SIGNATURE_NAME).write_bytes(b"another")
    assert load_bundle(model_bundle).digest == before, "the signature is over the rest"
