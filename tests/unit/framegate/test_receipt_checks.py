"""Each check of a receipt by itself: a gateway, or a camera, that signs what it should not."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import (
    MAX_RECEIPT_BYTES,
    SIGN_HEAD,
    ReceiptRefused,
    leaf_hash,
    missing_frames,
)
from framegate.signed.receipt import ReceiptBatch, b64
from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from framegate_simulators.fixtures.gateway import CAMERA, HOST
from support.receipts import proved


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def restated(desk, receipt, *, claims=None, verdict=None, by=None, **batch):
    """The receipt as its own gateway would sign it had it to say something else: `claims` and
    `verdict` are changes by name, `batch` of the batch, `by` another signer. Not in the log.
    """
    leaf, said = json.loads(raw(receipt["leaf"])), json.loads(raw(receipt["verdict"]))
    said |= verdict or {}
    payload = json.dumps(said).encode()
    if verdict:
        leaf["response_hash"] = hashlib.sha256(payload).hexdigest()
    for name, value in (claims or {}).items():
        (leaf["fg"] if name in leaf["fg"] else leaf)[name] = value
    body = json.dumps(leaf).encode()
    credentials = desk.keys.credentials
    statement = ReceiptBatch(
        gateway=credentials.device,
        store="s",
        number=1,
        first=leaf["sequence_number"],
        count=1,
        root=leaf_hash(body).hex(),
        previous="",
        recovered=0,
        closed_at_ms=desk.view.now_ms(),
    )
    certificate, sign = by or (credentials.verdict, desk.keys.sign_verdict)
    envelope = replace(statement, **batch).seal(certificate.public_bytes(Encoding.DER), sign)
    return {
        **receipt,
        "leaf": b64(body),
        "verdict": b64(payload) if verdict else receipt["verdict"],
        "batch": {"envelope": b64(envelope), "index": 0, "path": []},
        "log": None,
    }


def refusal(desk, receipt) -> tuple[str, str]:
    with pytest.raises(ReceiptRefused) as caught:
        desk.check(receipt, need_log=False)
    return caught.value.check, str(caught.value)


def signer_of(desk, purpose: Purpose, label: str, name: str, now: datetime | None = None):
    """A certificate by one of the fleet's CAs and what signs with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    said = leaf_template(
        purpose, name, key.public_key(), timedelta(minutes=9), now or datetime.now(UTC)
    )
    certificate = certify(desk.fleet.issuing[label], said)
    return certificate, lambda message: key.sign(message, ec.ECDSA(hashes.SHA256()))


async def test_the_receipt_they_are_changed_from_holds(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    checked = receipts_desk.check(restated(receipts_desk, receipt), need_log=False)
    assert checked.head_count == 5 and "the gateway's word" in checked.notes[0]


async def test_n110_a_batch_signed_anew_has_no_place_in_the_log(receipts_desk):
    """By its own gateway, which shows the proof of the one that it had recorded."""
    receipt = (await proved(receipts_desk))[0]
    again = {**restated(receipts_desk, receipt), "log": receipt["log"]}
    with pytest.raises(ReceiptRefused) as caught:
        receipts_desk.check(again)
    assert caught.value.check == "log-path"


async def test_n110_no_gateway_signs_for_another(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    other = signer_of(receipts_desk, Purpose.VERDICT, "gateway-ca", "gateway.line-1.gw9")
    check, text = refusal(receipts_desk, restated(receipts_desk, receipt, by=other))
    assert check == "leaf" and "signed by gateway.line-1.gw9" in text


@pytest.mark.parametrize(
    ("changes", "check", "message"),
    [
        ({"claims": {"iat_ms": 1}}, "batch-signer", "did not live when the leaf was made"),
        ({"closed_at_ms": 1}, "batch-signer", "did not live at 1970-01-01T00:00:00Z"),
        ({"claims": {"iss": "gateway.line-1.gw9"}}, "leaf", "leaf of gateway.line-1.gw9, batch of"),
        ({"gateway": "gateway.line-1.gw9"}, "leaf", "batch of gateway.line-1.gw9, signed by"),
        ({"claims": {"part": "another"}}, "verdict", "differ in part: 'another' and 'p"),
        ({"claims": {"response_hash": ""}}, "verdict", "not the one the leaf was made for"),
        ({"root": "00" * 32}, "batch-path", "not in the signed batch at its place"),
        ({"first": 0}, "batch-path", "not in the signed batch at its place"),
        ({"claims": {"mask_version": 7}}, "frame", "differ in mask_version: 0 and 7"),
        ({"claims": {"frame_metadata_sha256": ""}}, "frame", "not that of the leaf"),
        ({"claims": {"fg": []}}, "format", "receipt, got"),
        (
            {"claims": {"request_hash": ""}, "verdict": {"input_sha256": ""}},
            "frame",
            "PASS without a frame",
        ),
    ],
)
async def test_what_a_gateway_signs_and_should_not(receipts_desk, changes, check, message):
    receipt = (await proved(receipts_desk))[0]
    refused_by, text = refusal(receipts_desk, restated(receipts_desk, receipt, **changes))
    assert refused_by == check and message in text


async def test_a_frame_that_could_not_be_read_has_nothing_of_the_camera(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    nothing = {"outcome": "UNINSPECTED", "reason": "image", "inspected_percent": 0}
    unread = restated(
        receipts_desk,
        receipt,
        claims={"request_hash": "", **nothing},
        verdict={"input_sha256": "", **nothing},
    )
    checked = receipts_desk.check({**unread, "camera": None}, need_log=False)
    assert checked.head_count == 0 and "no frame was read" in checked.notes[-1]
    assert missing_frames([checked]) == {}, "and says nothing of other frames"


async def test_leaves_made_before_a_crash_are_signed_after_it(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    late = restated(receipts_desk, receipt, claims={"iat_ms": 1}, recovered=1)
    assert refusal(receipts_desk, late)[0] == "camera-signer", "the batch's signer is let pass"
    late = restated(receipts_desk, receipt, recovered=1)
    assert "recovered" in receipts_desk.check(late, need_log=False).notes[0]


async def test_signers_of_verdicts_that_are_none(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    for purpose, label, message in (
        (Purpose.VERDICT, "device-ca", "an issuing CA for something else"),
        (Purpose.GATEWAY, "gateway-ca", "another purpose"),
    ):
        by = signer_of(receipts_desk, purpose, label, HOST)
        check, text = refusal(receipts_desk, restated(receipts_desk, receipt, by=by))
        assert check == "batch-signer" and message in text
    certificate, _ = signer_of(receipts_desk, Purpose.VERDICT, "gateway-ca", HOST)
    wrong = restated(receipts_desk, receipt, by=(certificate, receipts_desk.keys.sign_verdict))
    assert refusal(receipts_desk, wrong)[0] == "batch-signature"


async def test_cameras_that_sign_for_another_or_out_of_their_time(receipts_desk):
    receipt = (await proved(receipts_desk))[0]

    def by(name: str, now: datetime) -> tuple[str, str]:
        certificate, _ = signer_of(receipts_desk, Purpose.DEVICE, "device-ca", name, now)
        der = b64(certificate.public_bytes(Encoding.DER))
        return refusal(
            receipts_desk,
            {**receipt, "log": None, "camera": {**receipt["camera"], "certificate": der}},
        )

    now = datetime.now(UTC)
    other = "camera.line-1.cam9"
    assert by(other, now) == (
        "camera-signer",
        f"camera-signer: a certificate of {other}, a frame of {CAMERA}",
    )
    check, text = by(CAMERA, now + timedelta(days=1))
    assert check == "camera-signer" and "did not live when the frame was inspected" in text
    assert by(CAMERA, now)[0] == "camera-head", "another key's certificate of that very camera"


async def test_a_head_of_another_session_by_that_very_camera(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    session = bytes.fromhex(json.loads(raw(receipt["leaf"]))["fg"]["session"])
    head = raw(receipt["camera"]["head"]).replace(session, bytes(len(session)))
    signature = receipts_desk.camera.sign_with_tls_key(SIGN_HEAD + head)
    camera = {**receipt["camera"], "head": b64(head), "signature": b64(signature)}
    check, text = refusal(receipts_desk, {**receipt, "log": None, "camera": camera})
    assert check == "camera-head" and "a head of another session" in text


async def test_a_head_that_names_another_camera_by_that_very_one(receipts_desk):
    receipt = (await proved(receipts_desk))[0]
    other = CAMERA.replace("cam1", "cam9").encode()
    head = raw(receipt["camera"]["head"]).replace(CAMERA.encode(), other)
    signature = receipts_desk.camera.sign_with_tls_key(SIGN_HEAD + head)
    camera = {**receipt["camera"], "head": b64(head), "signature": b64(signature)}
    check, text = refusal(receipts_desk, {**receipt, "log": None, "camera": camera})
    assert check == "camera-head" and "of another session or camera" in text


@pytest.mark.parametrize(
    ("part", "change", "check"),
    [
        ("leaf", lambda _: b"[]", "format"),
        ("leaf", lambda leaf: b" " * MAX_RECEIPT_BYTES + leaf, "format"),
        ("metadata", lambda data: data + b"\0", "frame"),
        ("metadata", lambda data: data[:-1], "frame"),
        ("metadata", lambda data: b"x" + data, "frame"),
    ],
)
async def test_parts_that_do_not_account_for_every_byte(receipts_desk, part, change, check):
    receipt = (await proved(receipts_desk))[0]
    receipt = {**receipt, part: b64(change(raw(receipt[part])))}
    assert refusal(receipts_desk, receipt)[0] == check
