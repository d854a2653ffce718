"""Signatures of releases: what holds, and every way past a check."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.signed import release as room
from framegate.signed.dsse import pae
from framegate.signed.release import Provenance, Taken, sign_release, verify_release
from support.refusals import refused

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
AGENT, BILL = "framegate-agent_1.0_amd64.deb", "framegate-agent.cdx.json"
RELEASE = Provenance(
    "1.0", "ab" * 20, {"pkg:pypi/cbor2@6.0": "cd" * 32}, {AGENT: b"a" * 32, BILL: b"b" * 32}
)


def verified(bundle, files=None):
    taken = [Taken(*each) for each in (files or {AGENT: b"a" * 32}).items()]
    return verify_release(bundle, taken, KEY.public_key())


def resigned(change, key=KEY):
    """The bundle, with its statement changed by `change` and signed by `key`."""
    body = json.loads(sign_release(RELEASE, KEY))
    statement = json.loads(base64.b64decode(body["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    signature = key.sign(pae(room.PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    body["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    body["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(body).encode()


def edited(change):
    body = json.loads(sign_release(RELEASE, KEY))
    change(body)
    return json.dumps(body).encode()


def test_a_release_says_what_it_was_built_of():
    assert verified(sign_release(RELEASE, KEY)) == RELEASE
    assert verified(sign_release(RELEASE, KEY), dict(RELEASE.files)) == RELEASE


def test_the_same_release_is_the_same_statement():
    def statement(bundle):
        return json.loads(bundle)["dsseEnvelope"]["payload"]

    assert statement(sign_release(RELEASE, KEY)) == statement(sign_release(RELEASE, OTHER))
    # and what lies beside a release that nobody has signed is the very statement
    assert base64.b64decode(statement(sign_release(RELEASE, KEY))) == room.statement_of(RELEASE)


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        ({AGENT: b"x" * 32}, "as it was released"),
        ({"another.deb": b"a" * 32}, "a file of release 1.0"),
        ({AGENT: b"a" * 32, BILL: b"a" * 32}, "as it was released"),
        ({AGENT: b""}, "as it was released"),
    ],
)
def test_a_file_that_is_not_of_it_is_refused(files, seen):
    with pytest.raises(Refused, match=seen) as refused:
        verified(sign_release(RELEASE, KEY), files)
    assert refused.value.reason == Reason.SIGNATURE


def test_another_key_is_refused_whatever_the_bundle_calls_its_own():
    with pytest.raises(Refused):
        verified(sign_release(RELEASE, OTHER))
    forged = edited(lambda b: b["verificationMaterial"].update(publicKey={"hint": "00"}))
    assert verified(forged) == RELEASE  # what the bundle says of its key decides nothing


def test_a_statement_that_was_edited_is_refused():
    def edit(body):
        raw = base64.b64decode(body["dsseEnvelope"]["payload"]).replace(b"1.0", b"1.1", 1)
        body["dsseEnvelope"]["payload"] = base64.b64encode(raw).decode()

    with pytest.raises(Refused):
        verified(edited(edit))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(predicateType="https://model_signing/signature/v1.0"),
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s["predicate"]["buildDefinition"].update(buildType="of somebody else"),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s["subject"][0]["digest"].update(sha256="ab"),
        lambda s: s["subject"][0].update(digest={"sha1": "ab" * 20}),
        lambda s: s.update(subject=7),
        lambda s: s["predicate"].pop("buildDefinition"),
        lambda s: s["predicate"]["buildDefinition"].update(resolvedDependencies=[]),
    ],
)
def test_a_statement_of_another_kind_is_malformed_though_the_key_signed_it(change):
    with pytest.raises(Malformed) as malformed:
        verified(resigned(change))
    assert malformed.value.reason == Reason.ENVELOPE


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b.update(mediaType="application/json"),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b["dsseEnvelope"].update(payload="not base64!"),
        lambda b: b.pop("dsseEnvelope"),
    ],
)
def test_a_bundle_of_another_shape_is_malformed(change):
    with pytest.raises(Malformed):
        verified(edited(change))


def test_a_bundle_that_is_too_large_is_not_read():
    with pytest.raises(Malformed) as malformed:
        verified(b" " * (room.MAX_BUNDLE_BYTES + 1))
    assert malformed.value.reason == Reason.TOO_LARGE


def test_materials_may_be_none():
    bare = replace(RELEASE, materials={})
    assert verified(sign_release(bare, KEY)) == bare


def test_n191_of_files_that_are_called_alike_each_is_looked_at():
    bundle = sign_release(RELEASE, KEY)
    good, bad = Taken(AGENT, b"a" * 32), Taken(AGENT, b"x" * 32)
    assert verify_release(bundle, [good, good], KEY.public_key()) == RELEASE
    for taken in ([good, bad], [bad, good]):
        assert refused(lambda t=taken: verify_release(bundle, t, KEY.public_key())) == (
            Reason.SIGNATURE
        )
