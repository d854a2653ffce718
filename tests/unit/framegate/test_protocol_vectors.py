"""The committed protocol vectors, computed from the documented bytes alone and compared with
what both sides' code makes.
"""

import hashlib
import hmac
import importlib.util
import json
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from framegate.evidence.challenge import ChallengeState
from framegate.wire import (
    AttestHello,
    Captured,
    Challenge,
    FrameHead,
    FrameMetadata,
    Hello,
    Opening,
    SessionOffer,
)
from framegate_simulators.forge.forge import Forge
from support.paths import VECTORS as VECTORS_DIR

FOLDER = VECTORS_DIR


VECTORS = {
    k: bytes.fromhex(v)
    for k, v in json.loads((FOLDER / "protocol" / "v1.json").read_text()).items()
}


def built():
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_our_code_makes_the_committed_bytes():
    assert {k: v.hex() for k, v in VECTORS.items()} == built().vectors()


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("hello", Hello),
        ("attest_hello", AttestHello),
        ("challenge", Challenge),
        ("challenge_state", ChallengeState),
        ("offer", SessionOffer),
        ("opening", Opening),
        ("frame_metadata", FrameMetadata),
        ("captured", Captured),
        ("frame_head", FrameHead),
    ],
)
def test_records_parse_to_what_made_them(name, record):
    assert record.parse(VECTORS[name]).marshal() == VECTORS[name]


def field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def label(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def test_derivations_by_hand_from_the_documented_bytes():
    """docs/reference/protocol.md read literally, without any of our code."""
    sha = lambda b: hashlib.sha256(b).digest()  # noqa: E731
    fill = built().fill
    t = sha(
        label("framegate/v1/transcript")
        + field(VECTORS["fleet"])
        + field(VECTORS["hello"])
        + field(VECTORS["challenge"])
    )
    assert t == VECTORS["transcript"]
    files = sorted(
        (("model.onnx", "network"), ("recipe.json", "recipe"), ("known/00_test.png", "known"))
    )
    assert (
        sha(
            b"framegate/v2/bundle"
            + b"".join(field(name.encode()) + fill(what, 32) for name, what in files)
        )
        == VECTORS["bundle_digest"]
    )
    assert json.loads(VECTORS["model_pin"])["model_sha256"] == VECTORS[
        "bundle_digest"
    ].hex() and json.loads(VECTORS["part"])["thresholds"] == [{"kind": "open", "at_least": 0.4}]
    publics = sha(
        b"framegate/v1/publics" + sha(fill("publics one", 200)) + sha(fill("publics two", 200))
    )
    assert (
        publics == VECTORS["publics_sha256_two"]
        and sha(b"framegate/v1/publics") == VECTORS["publics_sha256_none"]
    )
    spki, log, posture = fill("spki", 91), fill("log", 32), b'{"agent_version":"0.1.0"}'
    assert (
        sha(
            label("framegate/v1/quote-data")
            + field(t)
            + field(spki)
            + field(log)
            + field(sha(posture))
            + field(publics)
        )
        == VECTORS["quote_data"]
    )
    assert (
        sha(label("framegate/v1/certify-data") + field(t) + field(spki)) == VECTORS["certify_data"]
    )
    prk = hmac.digest(t, fill("activation secret", 32), "sha256")
    key = hmac.digest(prk, b"framegate/v2/activation\x01", "sha256")
    assert (
        hmac.digest(
            key,
            b"framegate/v2/activation\0" + t + (11).to_bytes(4, "big") + sha(b"proof bytes"),
            "sha256",
        )
        == VECTORS["activation_mac"]
    )
    info = (
        label("framegate/v1/opening-info")
        + field(VECTORS["offer"])
        + field(sha(b'{"grant_id":"g"}'))
        + field(sha(spki))
        + field(b"source-1")
    )
    assert sha(info) == VECTORS["opening_info"]
    leaf = sha(b"\0" + sha(VECTORS["frame_metadata"]) + fill("image 0", 32))
    assert leaf == VECTORS["frame_leaf"]
    second, third = (
        sha(b"\0" + sha(VECTORS["frame_metadata"]) + fill(f"image {n}", 32)) for n in (1, 2)
    )
    root = sha(b"\1" + sha(b"\1" + leaf + second) + third)
    head = (
        label("framegate/v1/frame-head")
        + field(fill("frame session", 16))
        + field(b"camera.line-1.cam1")
        + field(VECTORS["opening_info"])
        + struct.pack(">Q", 3)
    )
    assert (
        head + field(root) + field(b"\0\0\0\2") + struct.pack(">Q", 1790000060000)
        == VECTORS["frame_head"]
    )
    digest = sha(b"".join(fill(f"pcr {p}", 32) for p in range(8)))
    assert (
        sha(bytes(32) + struct.pack(">IIHB", 0x17F, 1, 0x000B, 3) + b"\xff\0\0" + digest)
        == VECTORS["policy_pcr"]
    )


def test_a_challenges_state_by_hand_from_the_documented_bytes():
    """The seal read literally: HKDF, nonce, AES-256-GCM-SIV, and the record's fields in their
    order.
    """
    prk = hmac.digest(bytes(32), built().fill("controllers' secret", 32), "sha256")
    key = hmac.digest(prk, b"framegate/v1/challenge-state\x01", "sha256")
    assert key == VECTORS["challenge_state_key"]
    sealed = VECTORS["challenge_state_sealed"]
    opened = AESGCMSIV(key).decrypt(sealed[:12], sealed[12:], b"framegate/v1/challenge-state")
    assert opened == VECTORS["challenge_state"]
    head = (
        label("framegate/v1/challenge-state")
        + field(built().fill("session", 16))
        + field(VECTORS["transcript"])
        + b"\x01"
        + field(b"camera.line-1.cam1")
    )
    assert opened.startswith(
        head
        + struct.pack(">I", 0x000B)
        + bytes([8, *range(8)])
        + struct.pack(">QQ", 0, 1790000060000)
    )


def test_the_devices_side_answers_with_the_same_bytes(bench):
    """The forge computes T, quote data and MAC for a live challenge, and the verifier agrees."""
    forge: Forge = bench.forge()
    assert bench.join(forge, bench.invite(ek=forge.ek_sha256)).state == "trusted"


def test_the_audit_log_by_hand_from_the_documented_bytes():
    sha = lambda b: hashlib.sha256(b).digest()  # noqa: E731
    first, second = VECTORS["log_entry_0"], VECTORS["log_entry_1"]
    bodies = [json.loads(e) for e in (first, second)]
    assert [json.dumps(b, sort_keys=True, separators=(",", ":")).encode() for b in bodies] == [
        first,
        second,
    ]
    assert bodies[0]["previous"] == "0" * 64 and bodies[0]["index"] == 0 and bodies[1]["index"] == 1
    leaves = [sha(b"\0" + e) for e in (first, second)]
    assert bodies[1]["previous"] == leaves[0].hex() and leaves[1] == VECTORS["log_leaf_1"]
    assert sha(b"\1" + leaves[0] + leaves[1]) == VECTORS["log_root_2"]
    assert (
        bodies[1]["from"] == "quarantined"
        and bodies[1]["to"] == "stale"
        and bodies[1]["approved_by"] == ["sven"]
    )


def test_the_inspected_share_in_a_verdict_and_its_leaf_by_hand():
    """A quarter of the picture, and what its outline passes through: one row and one column of
    cells more; two triangles that meet in the middle.
    """
    quarter = 100 * (256 * 256 - 129 * 129) // (256 * 256)
    assert list(VECTORS["inspected_shares"]) == [quarter, 49, 100]
    verdict, leaf = json.loads(VECTORS["verdict"]), json.loads(VECTORS["verdict_leaf"])
    for body, raw in ((verdict, VECTORS["verdict"]), (leaf, VECTORS["verdict_leaf"])):
        assert json.dumps(body, sort_keys=True, separators=(",", ":")).encode() == raw
    assert leaf["eat_profile"] == "tag:framegate,2026:receipt-2"
    assert verdict["inspected_percent"] == leaf["fg"]["inspected_percent"] == quarter
    assert leaf["response_hash"] == hashlib.sha256(VECTORS["verdict"]).hexdigest()


def test_the_leaf_of_a_gap_and_a_lines_decision_by_hand():
    gap, decision = json.loads(VECTORS["gap_leaf"]), json.loads(VECTORS["line_decision"])
    for body, raw in ((gap, VECTORS["gap_leaf"]), (decision, VECTORS["line_decision"])):
        assert json.dumps(body, sort_keys=True, separators=(",", ":")).encode() == raw
    assert set(gap) == {"eat_profile", "kind", "iss", "cti", "iat_ms", "sequence_number", "fg"}
    assert (gap["kind"], gap["eat_profile"]) == ("gap", "tag:framegate,2026:receipt-2")
    assert gap["fg"] == {
        "device": "camera.line-1.cam1",
        "zone": "line-1",
        "source": "source-1",
        "session": gap["fg"]["session"],
        "first": 7,
        "last": 29,
        "count": 20,
        "outcome": "UNINSPECTED",
        "reason": "frame-gap",
    }
    assert set(decision) == {
        "decision_id",
        "line",
        "part",
        "part_type",
        "trigger_sequence",
        "triggered_at_ms",
        "outcome",
        "reason",
        "verdicts",
        "issued_at_ms",
        "valid_until_ms",
    }


def test_what_is_approved_and_a_policys_digest_by_hand():
    sha = lambda b: hashlib.sha256(b).digest()  # noqa: E731
    message = b"\x0a\x02v1\x2a\x05claim\x32\x07quality"
    assert (
        sha(
            b"framegate/v1/content\0"
            + field(b"frame.export")
            + field(b"ExportRequest")
            + field(message)
        )
        == VECTORS["approval_content"]
    )
    files = {"a.cedar": b"// nothing\n", "schema.cedarschema": b"entity Role;\n"}
    assert (
        sha(b"".join(sha(n.encode()) + sha(files[n]) for n in sorted(files)))
        == VECTORS["access_policy_sha256"]
    )
