"""Access policies: what is no policy, and what is denied and why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.policy import SCHEMA, Request, parse_policy
from framegate.access.policy_statement import PolicyStatement
from framegate.access.questions import address_text, inspect_request, verb_request
from framegate.access.verbs import find_verb
from framegate.errors import Malformed, Reason
from framegate_simulators.fixtures.access import facts_text
from support.access import policy_files

CAM = "camera.line-1.cam1"


def asked(verb: str, *roles: str, **how):
    given_ = {
        "operator": "anna",
        "zone": "line-1",
        "frozen": False,
        "fleet": "plant",
        "approvals": 1,
        "quorum": 2,
        "factor_age_s": 0,
        "source": "ipv4:192.0.2.7:1",
        **how,
    }
    return verb_request(find_verb(verb), roles=roles, **given_)


def inspected(
    policy,
    *,
    model: str = "ab" * 32,
    zone: str = "line-1",
    state: str = "trusted",
    maintenance: bool = False,
    vector=None,
    **posture,
):
    facts = json.loads(facts_text(CAM, state=state, maintenance=maintenance, **posture))
    facts["trustworthiness"] = vector or {}
    return policy.decide(inspect_request(facts, CAM, model, zone))


@given(
    st.dictionaries(
        st.sampled_from(["a.cedar", SCHEMA, "b.cedar"]), st.text(max_size=80), max_size=3
    )
)
def test_policies_that_are_anything_raise_our_errors_alone(texts):
    with pytest.raises(Malformed):
        parse_policy(texts)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=12), c, max_size=4),
    )
)
def test_requests_that_are_anything(value):
    try:
        request = Request.parse(json.dumps(value))
    except Malformed:
        return
    assert Request.parse(request.marshal()) == request


def test_every_decision_names_its_policies():
    policy = parse_policy(policy_files())
    assert policy.decide(asked("device.quarantine", "operator")).policies == ("operators",)
    assert inspected(policy).policies == ("cameras-of-the-zone",)
    denied = policy.decide(asked("device.invite", "operator", frozen=True))
    assert (
        not denied.allow
        and denied.policies == ("frozen-zones",)
        and denied.failure.reason == Reason.ZONE_FROZEN
    )


def test_whoever_has_no_permit_is_told_that_and_not_to_ask_others():
    policy = parse_policy(policy_files())
    for tired in (0, 5_000):
        denied = policy.decide(asked("ca.rotate", "viewer", approvals=0, factor_age_s=tired))
        assert denied.failure.reason == Reason.POLICY_DENIED and "permit" in denied.failure.expected


def test_of_several_obstacles_approval_by_others_comes_last():
    policy = parse_policy(policy_files())
    for how, expected in (
        ({"frozen": True, "factor_age_s": 901, "approvals": 0}, Reason.ZONE_FROZEN),
        ({"factor_age_s": 901, "approvals": 0}, Reason.FACTOR_NEEDED),
        ({"approvals": 0}, Reason.APPROVAL_NEEDED),
    ):
        assert policy.decide(asked("device.lift", "security", **how)).failure.reason == expected


def test_a_device_without_a_matching_permit_is_denied():
    policy = parse_policy(policy_files())
    for wrong in (
        {"zone": "line-2"},
        {"state": "suspect"},
        {"state": "stale"},
        {"state": "quarantined"},
        {"maintenance": True},
    ):
        decision = inspected(policy, **wrong)
        assert not decision.allow and decision.failure is not None, wrong
    assert inspected(policy, maintenance=True).failure.reason == Reason.MAINTENANCE


def test_a_model_for_one_zone_under_attestation_facts_and_posture():
    """Device, model, zone, facts and posture in one rule, as the field writes it."""
    rule = """@id("only-this-model") forbid (principal is Device, action == Action::"inspect", \
resource is Model)
        unless { resource.digest == "MODEL" && principal.trustworthiness has hardware
                 && principal.trustworthiness.hardware <= 32
                 && principal.posture has secureBoot && principal.posture.secureBoot };
        """.replace("MODEL", "ab" * 32)
    policy = parse_policy(policy_files(model=rule))
    assert inspected(policy, vector={"hardware": 2}, secure_boot=1).allow
    for wrong in (
        {"model": "cd" * 32, "vector": {"hardware": 2}, "secure_boot": 1},
        {"vector": {"hardware": 96}, "secure_boot": 1},
        {"vector": {"hardware": 2}, "secure_boot": 0},
        {"secure_boot": 1},
        {"vector": {"hardware": 2}},
    ):
        denied = inspected(policy, **wrong)
        assert not denied.allow and denied.policies == ("only-this-model",)


def test_a_missing_attribute_is_named():
    rule = (
        '@id("needs-boot") permit (principal is Device, action == Action::"inspect", resource) when'
        " { principal.posture has secureBoot && principal.posture.secureBoot };"
    )
    texts = policy_files(boot=rule)
    texts["devices.cedar"] = (
        '@id("never") forbid (principal is Device, action == Action::"inspect", resource) when {'
        " principal.maintenance };"
    )
    policy = parse_policy(texts)
    assert inspected(policy, secure_boot=1).allow
    denied = inspected(policy)
    assert (
        not denied.allow
        and "posture.secureBoot" in f"{denied.failure.expected} {denied.failure.actual}"
    )
    assert "secureBoot" not in inspected(policy, secure_boot=0).failure.actual


def test_facts_that_do_not_fit_the_schema_deny():
    policy = parse_policy(policy_files())
    for facts in ({}, {"kind": 5}, json.loads(facts_text(CAM)) | {"state": 7}, {"posture": []}):
        denied = policy.decide(inspect_request(facts, CAM, "ab", "line-1"))
        assert not denied.allow and denied.failure is not None


@given(st.text(max_size=40))
def test_addresses_that_are_anything_are_an_address(text):
    import ipaddress

    ipaddress.ip_address(address_text(text))


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.7:443", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"),
        ("unix:/x", "0.0.0.0"),
        ("", "0.0.0.0"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_addresses_of_peers(peer, expected):
    assert address_text(peer) == expected


def test_a_rule_on_addresses():
    rule = (
        '@id("office-only") forbid (principal is Operator, action in Action::"secure", resource)'
        ' unless { context.source.isInRange(ip("192.0.2.0/24")) };'
    )
    policy = parse_policy(policy_files(net=rule))
    assert policy.decide(asked("data.erase", "security")).allow
    assert policy.decide(
        asked("data.erase", "security", source="ipv4:198.51.100.1:1")
    ).policies == ("office-only",)
    assert not policy.decide(asked("data.erase", "security", source="unix:/x")).allow


def test_a_request_needs_its_principal_action_and_resource():
    body = {"principal": ["Operator", "anna"], "action": "device.show", "resource": ["Zone", "z"]}
    request = Request.parse(json.dumps(body))
    assert request.principal == ("Operator", "anna") and Request.parse(request.marshal()) == request
    for name in body:
        with pytest.raises(Malformed, match="principal") as caught:
            Request.parse(json.dumps({n: v for n, v in body.items() if n != name}))
        assert caught.value.reason == Reason.POLICY_INVALID


def test_a_stored_policy_whose_files_are_none():
    policy = PolicyStatement(
        version=1,
        files=({"name": "a.cedar"},),
        applied_by="x",
        applied_at_ms=0,
    )
    with pytest.raises(Malformed, match="files with name and text") as caught:
        _ = policy.texts
    assert caught.value.reason == Reason.POLICY_INVALID


def test_a_request_that_the_policy_cannot_decide_is_denied():
    policy = parse_policy(policy_files())
    request = Request(("Operator", "anna"), "no.such", ("Zone", "line-1"), {}, {}, (), {})
    decision = policy.decide(request)
    assert not decision.allow and decision.failure.reason == Reason.POLICY_DENIED
    assert "a request this policy can decide" in decision.failure.expected
