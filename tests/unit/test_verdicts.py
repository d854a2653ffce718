"""Verdicts: what may be acted on, and what never (N107, N114)."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose
from framegate.signed.statement import Verdict, verify_verdict
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""
MS = int(NOW.timestamp() * 1000)
PASS = Verdict(
    verdict_id="v", gateway="gateway.line-1.gw1", device="camera.line-1.cam1", zone="line-1", part="p", part_type="t", trigger_sequence=1, outcome="PASS", reason="",
    defects=(), model_sha256="aa", golden_sha256="bb", input_sha256="cc", result_id="r", session="s", counter=0, issued_at_ms=MS, valid_until_ms=MS + 30_000,
)  # fmt: skip


def signer(keys, name: str = PASS.gateway, purpose: Purpose = Purpose.VERDICT, label: str = "gateway-ca", life: timedelta = timedelta(minutes=3)) -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key, certify(keys.issuing[label], leaf_template(purpose, name, key.public_key(), life, NOW)))


def check(keys, verdict: Verdict, by: SigningKey | None = None, now: datetime = NOW) -> Verdict:
    by = by or signer(keys)
    return verify_verdict(verdict.seal(by.der, by.sign), keys.intermediates, keys.root.certificate, now)


def refusal(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


def test_sound_verdicts(keys):
    assert check(keys, PASS) == PASS
    assert check(keys, replace(PASS, outcome="DEFECT", defects=({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)))
    assert check(keys, replace(PASS, outcome="UNINSPECTED", reason="quarantined", model_sha256="", golden_sha256="", input_sha256=""))


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "OK"}, {"outcome": "pass"}, {"defects": ({"kind": "open"},)}, {"reason": "stale"}, {"model_sha256": ""}, {"input_sha256": ""},
        {"golden_sha256": ""}, {"outcome": "DEFECT"}, {"outcome": "UNINSPECTED"}, {"valid_until_ms": MS + 61_000}, {"valid_until_ms": MS},
        {"issued_at_ms": MS + 10_000, "valid_until_ms": MS + 20_000},
    ],
)  # fmt: skip
def test_n107_n114_verdicts_that_contradict_themselves(keys, change):
    assert refusal(lambda: check(keys, replace(PASS, **change))) == Reason.VERDICT


def test_n114_replayed_after_it_expired(keys):
    assert refusal(lambda: check(keys, PASS, now=NOW + timedelta(seconds=31))) == Reason.VERDICT


def test_n114_signed_for_another_gateway(keys):
    assert refusal(lambda: check(keys, PASS, signer(keys, "gateway.line-1.gw2"))) == Reason.VERDICT


@pytest.mark.parametrize(("purpose", "label"), [(Purpose.DEVICE, "device-ca"), (Purpose.GATEWAY, "gateway-ca"), (Purpose.VERDICT, "device-ca"), (Purpose.VERDICT, "operator-ca")])
def test_n114_forged_by_another_key_of_the_fleet(keys, purpose, label):
    assert refusal(lambda: check(keys, PASS, signer(keys, purpose=purpose, label=label))) == Reason.CERTIFICATE


def test_n114_altered_after_signing(keys):
    by = signer(keys)
    envelope = replace(PASS, outcome="UNINSPECTED", reason="x").seal(by.der, by.sign)
    import base64
    import json

    body = json.loads(envelope)
    body["payload"] = base64.b64encode(PASS.payload()).decode()
    assert refusal(lambda: verify_verdict(json.dumps(body).encode(), keys.intermediates, keys.root.certificate, NOW)) == Reason.SIGNATURE


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b'{"payloadType":1}', b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b"NaN"])
def test_what_is_no_envelope(keys, raw):
    assert refusal(lambda: verify_verdict(raw, keys.intermediates, keys.root.certificate, NOW)) in {Reason.MALFORMED, Reason.ENVELOPE}


def test_a_verdict_of_another_fleet(keys, tmp_path):
    from framegate_controller.ca.open import found_fleet

    other = found_fleet(tmp_path / "other", "elsewhere")
    by = signer(other)
    assert refusal(lambda: verify_verdict(PASS.seal(by.der, by.sign), keys.intermediates, keys.root.certificate, NOW)) == Reason.CERTIFICATE
    assert time.time() > 0
