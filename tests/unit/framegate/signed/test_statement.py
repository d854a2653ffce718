"""Signed verdicts and what is no envelope."""

import json
import time
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.signed.statement import Verdict, verify_verdict
from support.refusals import refused
from support.verdicts import NOW, PASS, check, signer


def test_sound_verdicts(keys):
    assert check(keys, PASS) == PASS
    assert check(
        keys,
        replace(
            PASS, outcome="DEFECT", defects=({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)
        ),
    )
    assert check(
        keys,
        replace(
            PASS,
            outcome="UNINSPECTED",
            inspected_percent=0,
            reason="quarantined",
            model_sha256="",
            golden_sha256="",
            input_sha256="",
        ),
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"payloadType":1}',
        b"\xff",
        b"[" * 100_000,
        b'{"a":1,"a":2}',
        b"NaN",
    ],
)
def test_what_is_no_envelope(keys, raw):
    assert refused(lambda: verify_verdict(raw, keys.intermediates, keys.root.certificate, NOW)) in {
        Reason.MALFORMED,
        Reason.ENVELOPE,
    }


def test_a_verdict_of_another_fleet(keys, tmp_path):
    from framegate_controller.ca.open import found_fleet

    other = found_fleet(tmp_path / "other", "elsewhere")
    by = signer(other)
    assert (
        refused(
            lambda: verify_verdict(
                PASS.seal(by.der, by.sign), keys.intermediates, keys.root.certificate, NOW
            )
        )
        == Reason.CERTIFICATE
    )
    assert time.time() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": "1"},
        {"counter": True},
        {"counter": 1.0},
        {"outcome": 3},
        {"defects": {}},
        {"defects": ["open"]},
        {"defects": [[]]},
    ],
    ids=str,
)
def test_members_of_another_type(changes):
    body = json.loads(PASS.payload())
    assert Verdict.parse_payload(json.dumps(body).encode()) == PASS
    name = next(iter(changes))
    with pytest.raises(Malformed, match=f"{name} as ") as caught:
        Verdict.parse_payload(json.dumps({**body, **changes}).encode())
    assert caught.value.reason == Reason.ENVELOPE
