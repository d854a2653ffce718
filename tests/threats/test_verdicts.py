"""N107, N114: verdicts that contradict themselves, are forged, old or another's."""

from dataclasses import replace
from datetime import timedelta

import pytest

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.signed.statement import verify_verdict
from support.refusals import refused
from support.verdicts import MS, NOW, PASS, check, signer


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "OK"},
        {"outcome": "pass"},
        {"defects": ({"kind": "open"},)},
        {"reason": "stale"},
        {"model_sha256": ""},
        {"model_sha256": "00" * 32},
        {"input_sha256": ""},
        {"golden_sha256": ""},
        {"outcome": "DEFECT"},
        {"outcome": "UNINSPECTED"},
        {"outcome": "UNINSPECTED", "reason": "x"},
        {"inspected_percent": 0},
        {"inspected_percent": 59},
        {"inspected_percent": 101},
        {"inspected_percent": -1},
        {"valid_until_ms": MS + 61_000},
        {"valid_until_ms": MS},
        {"issued_at_ms": MS + 10_000, "valid_until_ms": MS + 20_000},
    ],
)
def test_n107_n114_verdicts_that_contradict_themselves(keys, change):
    assert refused(lambda: check(keys, replace(PASS, **change))) == Reason.VERDICT


def test_n114_replayed_after_it_expired(keys):
    assert refused(lambda: check(keys, PASS, now=NOW + timedelta(seconds=31))) == Reason.VERDICT


def test_n114_signed_for_another_gateway(keys):
    assert refused(lambda: check(keys, PASS, signer(keys, "gateway.line-1.gw2"))) == Reason.VERDICT


@pytest.mark.parametrize(
    ("purpose", "label"),
    [
        (Purpose.DEVICE, "device-ca"),
        (Purpose.GATEWAY, "gateway-ca"),
        (Purpose.VERDICT, "device-ca"),
        (Purpose.VERDICT, "operator-ca"),
    ],
)
def test_n114_forged_by_another_key_of_the_fleet(keys, purpose, label):
    assert (
        refused(lambda: check(keys, PASS, signer(keys, purpose=purpose, label=label)))
        == Reason.CERTIFICATE
    )


def test_n114_altered_after_signing(keys):
    by = signer(keys)
    envelope = replace(PASS, outcome="UNINSPECTED", reason="x").seal(by.der, by.sign)
    import base64
    import json

    body = json.loads(envelope)
    body["payload"] = base64.b64encode(PASS.payload()).decode()
    assert (
        refused(
            lambda: verify_verdict(
                json.dumps(body).encode(), keys.intermediates, keys.root.certificate, NOW
            )
        )
        == Reason.SIGNATURE
    )
