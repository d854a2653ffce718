"""A result as an EAR: its status, and what of it is proved offline."""

import base64
import json
import time

import jwt
import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.evidence.ear import (
    EAR_PROFILE,
    MAX_EAR_BYTES,
    SUBMOD,
    ear_claims,
    ear_status,
    sign_ear,
    verify_ear,
)
from support.refusals import refused


@pytest.mark.parametrize(
    ("vector", "status"),
    [
        ({}, "none"),
        ({"a": 0}, "none"),
        ({"a": 2}, "affirming"),
        ({"a": 2, "b": 32}, "warning"),
        ({"a": 32, "b": 96}, "contraindicated"),
    ],
)
def test_the_worst_claim_is_the_status(vector, status):
    assert ear_status(vector) == status


NOW_S = int(time.time())


def claims(**changes):
    made = ear_claims(
        device="camera.line-1.cam1",
        result_id="r1",
        vector={"hardware": 2, "executables": 33, "unheard-of": 96},
        profile="p",
        profile_sha256=b"\1" * 32,
        evidence_sha256=b"\2" * 32,
        failures=[],
        findings=[],
        tpm={"maker": "x"},
        controller="c",
        build="1",
        issued_at_s=NOW_S,
        expires_at_s=NOW_S - 60,
    )
    return {**made, **changes}


def test_an_old_result_stays_provable_and_says_what_it_was_made_of(keys):
    told = verify_ear(sign_ear(claims(), keys.signing["result"]), keys.root.certificate)
    part = told["submods"][SUBMOD]
    assert told == claims() and told["eat_profile"] == EAR_PROFILE
    assert part["ear.trustworthiness-vector"] == {"hardware": 2, "executables": 33}
    assert part["ear.appraisal-policy-id"] == "p sha256:" + "01" * 32


def test_a_result_by_a_key_for_something_else_is_refused(keys):
    token = sign_ear(claims(), keys.signing["grant"])
    call = lambda: verify_ear(token, keys.root.certificate)  # noqa: E731
    assert refused(call, Refused) == Reason.CERTIFICATE


def test_a_result_of_another_time_is_not_its_keys(keys):
    token = sign_ear(claims(iat=1), keys.signing["result"])
    call = lambda: verify_ear(token, keys.root.certificate)  # noqa: E731
    assert refused(call, Refused) == Reason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_of_it_may_be_anothers(keys, part):
    pieces = sign_ear(claims(), keys.signing["result"]).split(".")
    others = sign_ear(claims(sub="another"), keys.signing["result"]).split(".")
    pieces[part] = others[part] if part else pieces[0][:-4]
    with pytest.raises(FramegateError) as caught:
        verify_ear(".".join(pieces), keys.root.certificate)
    assert caught.value.reason == (Reason.SIGNATURE if part else Reason.ENVELOPE)


@pytest.mark.parametrize(
    "headers", [{}, {"x5c": []}, {"x5c": ["%"]}, {"x5c": ["AAAA"]}, {"x5c": 7}, {"x5c": ["A", "A"]}]
)
def test_a_token_without_its_one_certificate_is_none(keys, headers):
    key = keys.signing["result"].key
    token = jwt.encode(claims(), key, algorithm="ES256", headers=headers)
    with pytest.raises(FramegateError):
        verify_ear(token, keys.root.certificate)


@pytest.mark.parametrize("token", ["", "a.b.c", "é", "." * 9])
def test_what_is_no_token_is_refused(keys, token):
    call = lambda: verify_ear(token, keys.root.certificate)  # noqa: E731
    assert refused(call, Malformed) == Reason.ENVELOPE


def test_a_token_that_is_too_long_or_says_no_time_is_not_believed(keys):
    root = keys.root.certificate
    long = "a" * (MAX_EAR_BYTES + 1)
    assert refused(lambda: verify_ear(long, root), Malformed) == Reason.TOO_LARGE
    headers = jwt.get_unverified_header(sign_ear(claims(), keys.signing["result"]))
    for iat, reason in (
        (None, Reason.ENVELOPE),
        ("soon", Reason.ENVELOPE),
        (10**30, Reason.MALFORMED),
    ):
        # the library signs no such time: as an attacker would, who needs none
        token = unsigned({**claims(), "iat": iat}, headers)
        assert refused(lambda t=token: verify_ear(t, root), Malformed) == reason


def unsigned(body, headers):
    def coded(value):
        raw = json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return f"{coded(dict(headers))}.{coded(body)}.AAAA"
