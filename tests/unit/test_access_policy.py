"""Access policies: what is no policy, what is denied and why, what gateways take from the feed (N90), and folders of files."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.policy import MAX_POLICY_BYTES, SCHEMA, PolicyStatement, Request, default_files, parse_policy
from framegate.access.questions import address_text, inspect_request, verb_request
from framegate.access.verbs import Scoped, find_verb
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.record.entry import Act
from framegate_controller.people.operators import NewOperator, add_operator
from framegate_controller.people.policies import apply_policy, load_policy
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_gateway.trust.access import AccessView
from framegate_operator.policies import read_folder, run_case
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update, add_person, facts_text, operator_pair, operator_trust, signed_policy

CAM = "camera.line-1.cam1"
ERASE = '@id("more") forbid (principal, action == Action::"data.erase", resource);'


def files(**more: str) -> dict[str, str]:
    return dict(default_files()) | {f"{n}.cedar": t for n, t in more.items()}


def refused(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


def asked(verb: str, *roles: str, **how):
    given_ = {"operator": "anna", "zone": "line-1", "frozen": False, "fleet": "plant", "approvals": 1, "quorum": 2, "factor_age_s": 0, "source": "ipv4:192.0.2.7:1", **how}
    return verb_request(find_verb(verb), roles=roles, **given_)


def inspected(policy, *, model: str = "ab" * 32, zone: str = "line-1", state: str = "trusted", maintenance: bool = False, vector=None, **posture):
    facts = json.loads(facts_text(CAM, state=state, maintenance=maintenance, **posture))
    facts["trustworthiness"] = vector or {}
    return policy.decide(inspect_request(facts, CAM, model, zone))


@pytest.mark.parametrize(
    "texts",
    [{}, {"a.cedar": ERASE}, {SCHEMA: default_files()[SCHEMA]}, files() | {"../x.cedar": ERASE}, files() | {"x.txt": ERASE}, files() | {"X.cedar": ERASE}, files(more="permit (principal"),
     files(more="permit (principal, action, resource);"), files(more='@id("operators") permit (principal, action, resource);'), files(more='@id("") permit (principal, action, resource);'),
     files(more='@id("x") permit (principal, action == Action::"no.such", resource);'), files(more='@id("x") permit (principal, action, resource) when { principal.shoeSize > 3 };'),
     files(more='@id("x") permit (principal is Device, action == Action::"inspect", resource) when { principal.posture.secureBoot };'),
     files() | {SCHEMA: "entity Role;"}, files() | {SCHEMA: "nonsense"}, files() | {SCHEMA: default_files()[SCHEMA].replace('"data.erase"', '"data.erase2"')},
     files(more=ERASE + "//" + "x" * MAX_POLICY_BYTES), files(**{f"f{n}": f'@id("f{n}") {ERASE[12:]}' for n in range(40)})],
    ids=["nothing", "no schema", "no policies", "a path", "another ending", "capitals", "broken", "without id", "id twice", "empty id", "unknown action", "unknown attribute",
         "optional attribute unguarded", "schema without verbs", "broken schema", "a verb missing", "too large", "too many files"],
)  # fmt: skip
def test_n90_what_is_no_policy_is_refused_and_says_where(texts):
    assert refused(lambda: parse_policy(texts)) in {Reason.POLICY_INVALID, Reason.TOO_LARGE}


@given(st.dictionaries(st.sampled_from(["a.cedar", SCHEMA, "b.cedar"]), st.text(max_size=80), max_size=3))
def test_policies_that_are_anything_raise_our_errors_alone(texts):
    with pytest.raises(Malformed):
        parse_policy(texts)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=12), c, max_size=4)))
def test_requests_that_are_anything(value):
    try:
        made = Request.parse(json.dumps(value))
    except Malformed:
        return
    assert Request.parse(made.marshal()) == made


def test_every_decision_names_its_policies():
    policy = parse_policy(files())
    assert policy.decide(asked("device.quarantine", "operator")).policies == ("operators",)
    assert inspected(policy).policies == ("cameras-of-the-zone",)
    denied = policy.decide(asked("device.invite", "operator", frozen=True))
    assert not denied.allow and denied.policies == ("frozen-zones",) and denied.failure.reason == Reason.ZONE_FROZEN


def test_whoever_has_no_permit_is_told_that_and_not_to_ask_others():
    policy = parse_policy(files())
    for tired in (0, 5_000):
        denied = policy.decide(asked("ca.rotate", "viewer", approvals=0, factor_age_s=tired))
        assert denied.failure.reason == Reason.POLICY_DENIED and "permit" in denied.failure.expected


def test_of_several_obstacles_approval_by_others_comes_last():
    policy = parse_policy(files())
    for how, expected in (
        ({"frozen": True, "factor_age_s": 901, "approvals": 0}, Reason.ZONE_FROZEN), ({"factor_age_s": 901, "approvals": 0}, Reason.FACTOR_NEEDED), ({"approvals": 0}, Reason.APPROVAL_NEEDED),
    ):  # fmt: skip
        assert policy.decide(asked("device.lift", "security", **how)).failure.reason == expected


def test_a_device_without_a_matching_permit_is_denied():
    policy = parse_policy(files())
    for wrong in ({"zone": "line-2"}, {"state": "suspect"}, {"state": "stale"}, {"state": "quarantined"}, {"maintenance": True}):
        decision = inspected(policy, **wrong)
        assert not decision.allow and decision.failure is not None, wrong
    assert inspected(policy, maintenance=True).failure.reason == Reason.MAINTENANCE


def test_a_model_for_one_zone_under_attestation_facts_and_posture():
    """Device, model, zone, facts and posture in one rule, as the field writes it."""
    rule = """@id("only-this-model") forbid (principal is Device, action == Action::"inspect", resource is Model)
        unless { resource.digest == "MODEL" && principal.trustworthiness has hardware && principal.trustworthiness.hardware <= 32 && principal.posture has secureBoot && principal.posture.secureBoot };
        """.replace("MODEL", "ab" * 32)
    policy = parse_policy(files(model=rule))
    assert inspected(policy, vector={"hardware": 2}, secure_boot=1).allow
    for wrong in (
        {"model": "cd" * 32, "vector": {"hardware": 2}, "secure_boot": 1}, {"vector": {"hardware": 96}, "secure_boot": 1}, {"vector": {"hardware": 2}, "secure_boot": 0}, {"secure_boot": 1},
        {"vector": {"hardware": 2}},
    ):  # fmt: skip
        denied = inspected(policy, **wrong)
        assert not denied.allow and denied.policies == ("only-this-model",)


def test_a_missing_attribute_is_named():
    rule = '@id("needs-boot") permit (principal is Device, action == Action::"inspect", resource) when { principal.posture has secureBoot && principal.posture.secureBoot };'
    texts = files(boot=rule)
    texts["devices.cedar"] = '@id("never") forbid (principal is Device, action == Action::"inspect", resource) when { principal.maintenance };'
    policy = parse_policy(texts)
    assert inspected(policy, secure_boot=1).allow
    denied = inspected(policy)
    assert not denied.allow and "posture.secureBoot" in f"{denied.failure.expected} {denied.failure.actual}"
    assert "secureBoot" not in inspected(policy, secure_boot=0).failure.actual


def test_facts_that_do_not_fit_the_schema_deny():
    policy = parse_policy(files())
    for facts in ({}, {"kind": 5}, json.loads(facts_text(CAM)) | {"state": 7}, {"posture": []}):
        denied = policy.decide(inspect_request(facts, CAM, "ab", "line-1"))
        assert not denied.allow and denied.failure is not None


@given(st.text(max_size=40))
def test_addresses_that_are_anything_are_an_address(text):
    import ipaddress

    ipaddress.ip_address(address_text(text))


@pytest.mark.parametrize(
    ("peer", "expected"), [("ipv4:192.0.2.7:443", "192.0.2.7"), ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"), ("unix:/x", "0.0.0.0"), ("", "0.0.0.0"), ("2001:db8::1", "2001:db8::1")]
)  # fmt: skip
def test_addresses_of_peers(peer, expected):
    assert address_text(peer) == expected


def test_a_rule_on_addresses():
    rule = '@id("office-only") forbid (principal is Operator, action in Action::"secure", resource) unless { context.source.isInRange(ip("192.0.2.0/24")) };'
    policy = parse_policy(files(net=rule))
    assert policy.decide(asked("data.erase", "security")).allow
    assert policy.decide(asked("data.erase", "security", source="ipv4:198.51.100.1:1")).policies == ("office-only",)
    assert not policy.decide(asked("data.erase", "security", source="unix:/x")).allow


# --- in the controller's store ---


def put(bench, texts, base: int) -> int:
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.sara")
        return apply_policy(tx, bench.keys, texts, base=base, note="").version


def in_force(bench) -> int:
    with bench.store.reading() as tx:
        return tx.policies.current().version


def test_versions_only_rise_and_nobody_overwrites_anothers(bench):
    assert put(bench, files(more=ERASE), 1) == 2
    assert refused(lambda: put(bench, files(other=ERASE), 1)) == Reason.CONFLICT
    assert refused(lambda: put(bench, files(more=ERASE), 2)) == Reason.CONFLICT  # the same again
    assert put(bench, files(), 2) == 3  # what was once in force comes back under a new number
    assert in_force(bench) == 3
    with bench.store.reading() as tx:
        assert len(tx.policies.history(10)) == 3


def test_a_policy_that_lets_nobody_change_it_again_is_refused(bench):
    add_person(bench.store, bench.keys, "sara", "security")
    texts = files()
    texts["operators.cedar"] = '@id("all") permit (principal, action in Action::"view", resource);'
    assert refused(lambda: put(bench, texts, 1)) == Reason.POLICY_INVALID
    with bench.store.writing() as tx:
        tx.people.put(replace(tx.people.find("sara"), roles=(Scoped("viewer"),)))
    assert refused(lambda: put(bench, files(more=ERASE), 1)) == Reason.POLICY_INVALID
    with bench.store.writing() as tx:
        add_operator(tx, NewOperator(name="new", roles=(), vouched=True), by="t")
    assert in_force(bench) == 1


@pytest.mark.parametrize("how", ["text", "version", "signature", "gone", "another key"])
def test_n90_a_policy_changed_in_the_store_allows_nothing(bench, how, tmp_path):
    from framegate_controller.ca.open import found_fleet

    cache = InMemoryPolicies()
    with bench.store.reading() as tx:
        assert load_policy(tx, bench.keys, cache).version == 1  # what was verified before is no excuse
        envelope = tx.policies.current().envelope
    if how == "gone":
        bench.sql("DELETE FROM access_policies")
    elif how == "version":
        bench.sql("UPDATE access_policies SET version = 5")
    else:
        if how == "text":
            body = json.loads(envelope)
            import base64

            payload = base64.b64decode(body["payload"]).replace(b"viewers", b"viewerz")
            envelope = json.dumps({**body, "payload": base64.b64encode(payload).decode()}, separators=(",", ":")).encode()
        elif how == "signature":
            envelope = envelope[:-40] + bytes([envelope[-40] ^ 1]) + envelope[-39:]
        else:
            envelope = signed_policy(found_fleet(tmp_path / "other", "plant"))
        bench.sql("UPDATE access_policies SET envelope = ?", envelope)
    with bench.store.reading() as tx, pytest.raises(FramegateError):
        load_policy(tx, bench.keys, cache)


def test_a_policy_stays_in_force_after_its_keys_certificate_ended(keys):
    """What it says is fixed by version and signature; a plant does not stop because nobody changed its policy for two years."""
    statement, _ = PolicyStatement.verify(signed_policy(keys), (), keys.root.certificate, from_ms(time.time_ns() // 1_000_000))
    assert statement.version == 1


# --- at a gateway ---


@pytest.fixture
def view(keys, tmp_path):
    return AccessView(tmp_path, lambda: keys.root.certificate)


def test_n90_nothing_is_allowed_before_a_policy_came(view):
    assert refused(lambda: view.inspect(CAM, facts_text(CAM), "ab", "line-1")) == Reason.POLICY_INVALID


@pytest.mark.parametrize("how", ["none", "junk", "rolled back", "same version, other text", "other fleet", "signed by another of our keys"])
def test_n90_gateways_refuse_policies_that_are_missing_unsigned_or_rolled_back(view, keys, tmp_path, how):
    from framegate_controller.ca.open import found_fleet

    view.apply(access_update(keys, policy=signed_policy(keys, files(), 3)))
    update = access_update(keys, policy=signed_policy(keys, files(more=ERASE), 4))
    if how == "none":
        update.policy = b""
    elif how == "junk":
        update.policy = b"{}"
    elif how == "rolled back":
        update.policy = signed_policy(keys, files(more=ERASE), 2)
    elif how == "same version, other text":
        update.policy = signed_policy(keys, files(more=ERASE), 3)
    elif how == "other fleet":
        update.policy = signed_policy(found_fleet(tmp_path / "other", "plant"), files(more=ERASE), 4)
    else:
        signer = keys.signing["grant"]
        update.policy = PolicyStatement(version=4, files=({"name": "a", "text": "b"},), applied_by="x", applied_at_ms=time.time_ns() // 1_000_000).seal(signer.der, signer.sign)
    with pytest.raises(FramegateError):
        view.apply(update)
    assert view.policy.version == 3


def test_n90_the_highest_version_is_remembered_over_a_restart(view, keys, tmp_path):
    view.apply(access_update(keys, policy=signed_policy(keys, files(), 7)))
    again = AccessView(tmp_path, lambda: keys.root.certificate)
    assert refused(lambda: again.apply(access_update(keys, policy=signed_policy(keys, files(), 6)))) == Reason.POLICY_INVALID
    assert refused(lambda: again.apply(access_update(keys, policy=signed_policy(keys, files(more=ERASE), 7)))) == Reason.POLICY_INVALID
    again.apply(access_update(keys, policy=signed_policy(keys, files(), 7)))


def test_decisions_are_made_anew_for_new_facts_and_a_new_policy(view, keys):
    view.apply(access_update(keys))
    assert view.inspect(CAM, facts_text(CAM), "ab", "line-1") == ("cameras-of-the-zone",)
    for facts in (facts_text(CAM, state="suspect"), facts_text(CAM, maintenance=True)):
        with pytest.raises(Refused):
            view.inspect(CAM, facts, "ab", "line-1")
    stop = '@id("stop") forbid (principal is Device, action == Action::"inspect", resource);'
    view.apply(access_update(keys, policy=signed_policy(keys, files(stop=stop), 2)))
    assert refused(lambda: view.inspect(CAM, facts_text(CAM), "ab", "line-1")) == Reason.POLICY_DENIED


@given(st.text(max_size=60))
def test_facts_that_are_anything_let_nothing_through(keys, text):
    seen = AccessView(None, lambda: keys.root.certificate)
    seen.apply(access_update(keys))
    with pytest.raises((FramegateError, ValueError, TypeError)):
        seen.inspect(CAM, text, "ab", "line-1")


def at_gateway(view, keys, pair, request, *, verb="frame.export", **how):
    from cryptography.x509 import load_pem_x509_certificates

    from framegate.identity.certificates import Purpose, verify_certificate

    now = time.time_ns() // 1_000_000
    certificate = load_pem_x509_certificates(pair[1])[0]
    identity = verify_certificate(certificate, Purpose.OPERATOR, keys.intermediates, keys.root.certificate, from_ms(now))
    caller = view.caller(identity, "ipv4:192.0.2.1:5", "line-1", how.pop("at", now))
    return view.authorise(caller, verb, request, zone="line-1", gateway="gateway.line-1.gw1", now_ms=how.pop("now", now))


def approved(keys, request, verb="frame.export", **changed) -> bytes:
    from framegate.access.approvals import ApprovalStatement, content_digest

    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("approval")
    members = {
        "request_id": "0a1b2c3d", "verb": verb, "zone": "line-1", "content_sha256": content_digest(verb, type(request).DESCRIPTOR.name, bare.SerializeToString(deterministic=True)).hex(),
        "requester": "sara", "approvers": ("sven",), "policy_sha256": parse_policy(default_files()).sha256.hex(), "gateway": "gateway.line-1.gw1", "reason": "r",
        "issued_at_ms": time.time_ns() // 1_000_000, **changed,
    }  # fmt: skip
    return ApprovalStatement(**members).seal(keys.signing["approval"].der, keys.signing["approval"].sign)


@pytest.fixture
def people(view, keys):
    pair = operator_pair(keys, "sara")
    trust = [operator_trust("sara", pair, "security"), pb.OperatorTrust(name="sven", roles=["security"])]
    view.apply(access_update(keys, trust, quorum=2))
    return pair, trust


def test_n119_at_a_gateway_an_approval_counts_once_and_for_exactly_this(view, keys, people, tmp_path):
    pair, _ = people
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    assert refused(lambda: at_gateway(view, keys, pair, request)) == Reason.APPROVAL_NEEDED
    request.approval = approved(keys, request)
    other = pb.ExportRequest(id="v2", reason="claim", destination="customer", approval=request.approval)
    assert refused(lambda: at_gateway(view, keys, pair, other)) == Reason.APPROVAL_NEEDED
    assert at_gateway(view, keys, pair, request).approved_by == ("sven",)
    assert refused(lambda: at_gateway(view, keys, pair, request)) == Reason.APPROVAL_NEEDED
    again = AccessView(tmp_path, lambda: keys.root.certificate)  # the gateway is restarted
    again.apply(access_update(keys, people[1], quorum=2))
    assert refused(lambda: at_gateway(again, keys, pair, request)) == Reason.APPROVAL_NEEDED


def test_n119_at_a_gateway_an_approver_who_is_disabled_meanwhile_counts_no_more(view, keys, people):
    pair, trust = people
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    request.approval = approved(keys, request)
    view.apply(access_update(keys, trust[:1], quorum=2))
    assert refused(lambda: at_gateway(view, keys, pair, request)) == Reason.APPROVAL_NEEDED


@pytest.mark.parametrize("changed", [{"requester": "eve"}, {"gateway": "gateway.line-1.gw2"}, {"policy_sha256": "00" * 32}, {"approvers": ("sara",)}, {"issued_at_ms": 1}], ids=str)
def test_n119_at_a_gateway_approvals_of_something_else(view, keys, people, changed):
    request = pb.ExportRequest(id="v1", reason="claim", destination="customer")
    request.approval = approved(keys, request, **changed)
    with pytest.raises(FramegateError):
        at_gateway(view, keys, people[0], request)


def test_n80_at_a_gateway_a_certificate_without_a_session_or_of_another_name(view, keys, people):
    stranger = operator_pair(keys, "sara")
    assert refused(lambda: at_gateway(view, keys, stranger, pb.ListRequest(), verb="gateway.status")) == Reason.SIGNED_OUT
    assert refused(lambda: at_gateway(view, keys, people[0], pb.ListRequest(), verb="gateway.status", at=2**52)) == Reason.SIGNED_OUT
    unknown = operator_pair(keys, "nobody")
    assert refused(lambda: at_gateway(view, keys, unknown, pb.ListRequest(), verb="gateway.status")) == Reason.SIGNED_OUT


# --- folders ---


def folder(tmp_path: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_folders_of_files(tmp_path):
    assert parse_policy(read_folder(folder(tmp_path, files()))).sha256 == parse_policy(files()).sha256


@pytest.mark.parametrize("what", ["empty", "large", "binary", "link"])
def test_folders_that_are_no_policy(tmp_path, what):
    if what == "large":
        folder(tmp_path, files(more="//" + "x" * 2_000_000))
    elif what == "binary":
        folder(tmp_path, files())
        (tmp_path / "b.cedar").write_bytes(b"\xff\xfe\x00")
    elif what == "link":
        folder(tmp_path, files())
        (tmp_path / "b.cedar").symlink_to("/etc/hostname")
    with pytest.raises(FramegateError):
        parse_policy(read_folder(tmp_path))


@pytest.mark.parametrize(
    "case",
    [{}, {"given": {}}, {"given": {"verb": "x"}, "expect": "allow"}, {"given": {"verb": "device.list"}, "expect": "maybe"}, {"given": 5, "expect": "allow"},
     {"given": {"device": 7}, "expect": "deny"}, {"given": {"request": {}}, "expect": "deny"}],
)  # fmt: skip
def test_cases_that_are_none(case):
    with pytest.raises(FramegateError):
        run_case(parse_policy(files()), case, "x.json case 1")


def test_cases_pass_and_fail():
    policy = parse_policy(files())
    good = run_case(policy, {"name": "n", "given": {"verb": "device.list", "roles": ["viewer"]}, "expect": "allow", "by": ["viewers"]}, "x")
    assert good["good"]
    for wrong in ({"expect": "deny"}, {"expect": "allow", "by": ["operators"]}):
        assert not run_case(policy, {"name": "n", "given": {"verb": "device.list", "roles": ["viewer"]}, **wrong}, "x")["good"]
