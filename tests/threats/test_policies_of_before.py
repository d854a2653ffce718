"""N90: a policy that was applied before a verb existed denies that verb, and nothing else."""

import pytest

from framegate.access.policy import SCHEMA, default_files, parse_policy
from framegate.access.questions import verb_request
from framegate.access.schema import STEERING, added_actions
from framegate.access.verbs import find_verb, verbs
from framegate.errors import FramegateError, Reason
from framegate.record.entry import Act
from framegate_controller.people.policies import apply_policy, load_policy
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_gateway.trust.access import AccessView
from framegate_operator.permissions import role_table
from framegate_simulators.fixtures.access import access_update, signed_policy
from support.refusals import refused

LATER = "device.profile"
ALL = '@id("all") permit (principal is Operator, action, resource);'


def files_without(*names: str) -> dict[str, str]:
    """The default policy as it was before the verbs `names` existed: no line of it names them."""
    files = dict(default_files())
    lines = files[SCHEMA].splitlines(keepends=True)
    gone = tuple(f'action "{n}"' for n in names)
    files[SCHEMA] = "".join(line for line in lines if not line.startswith(gone))
    for name in names:
        files["operators.cedar"] = files["operators.cedar"].replace(f'"{name}", ', "")
    return files


def asked(verb: str, *roles: str):
    return verb_request(
        find_verb(verb),
        operator="anna",
        roles=roles,
        zone="line-1",
        frozen=False,
        fleet="plant",
        approvals=9,
        quorum=2,
        factor_age_s=0,
        source="",
    )


def store(bench, files: dict[str, str]) -> None:
    """The row as the controller of an earlier version left it."""
    envelope = signed_policy(bench.keys, files, 1)
    digest = parse_policy(files, 1).sha256
    bench.sql("UPDATE access_policies SET envelope = ?, sha256 = ?", envelope, digest)


def test_n90_a_policy_stored_before_a_verb_existed_denies_that_verb_alone(bench):
    store(bench, files_without(LATER))
    with bench.store.reading() as tx:
        policy = load_policy(tx, bench.keys, InMemoryPolicies())
    assert policy.missing == (LATER,)
    everyone = tuple(r for r in ("engineer", "security", "admin"))
    denied = policy.decide(asked(LATER, *everyone))
    assert not denied.allow and denied.failure.reason == Reason.POLICY_DENIED
    assert LATER in denied.failure.expected and denied.failure.hint == "framegate policy status"
    before, whole = role_table(policy), role_table(parse_policy(default_files()))
    assert set(before[LATER].values()) == {"no"}
    assert {v: by for v, by in before.items() if v != LATER} == {
        v: by for v, by in whole.items() if v != LATER
    }


def test_n90_whoever_has_a_policy_of_before_applies_the_next_one(bench):
    store(bench, files_without(LATER))
    with bench.store.reading() as tx:
        policy = load_policy(tx, bench.keys, InMemoryPolicies())
    texts = dict(policy.files)
    texts[SCHEMA] += added_actions(policy.actions)
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.anna")
        applied = apply_policy(tx, bench.keys, texts, base=1, note="verbs added")
    with bench.store.reading() as tx:
        after = load_policy(tx, bench.keys, InMemoryPolicies())
    assert applied.version == after.version == 2 and not after.missing
    assert after.decide(asked(LATER, "engineer")).allow
    assert not after.decide(asked(LATER, "operator")).allow
    assert added_actions(after.actions) == ""


def test_n90_a_change_of_a_policy_of_before_needs_no_new_verbs(bench):
    store(bench, files_without(LATER))
    texts = files_without(LATER)
    texts["more.cedar"] = (
        '@id("more") forbid (principal, action == Action::"data.erase", resource);'
    )
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.anna")
        assert apply_policy(tx, bench.keys, texts, base=1, note="a rule").version == 2
    with bench.store.reading() as tx:
        assert load_policy(tx, bench.keys, InMemoryPolicies()).missing == (LATER,)


def test_n90_a_gateway_takes_a_policy_of_before_and_denies_what_it_lacks(access_view, keys):
    access_view.apply(access_update(keys, policy=signed_policy(keys, files_without(LATER), 2)))
    assert isinstance(access_view, AccessView) and access_view.policy.missing == (LATER,)
    assert access_view.policy.decide(asked("verdict.show", "viewer")).allow
    assert not access_view.policy.decide(asked(LATER, "engineer")).allow


@pytest.mark.parametrize("name", STEERING)
def test_n90_a_policy_that_could_not_be_mended_is_refused(name):
    files = {SCHEMA: files_without(name)[SCHEMA], "all.cedar": ALL}
    with pytest.raises(FramegateError) as caught:
        parse_policy(files)
    assert caught.value.reason == Reason.POLICY_INVALID and name in str(caught.value)


def test_n90_an_action_that_is_no_verb_is_denied_and_is_no_error():
    policy = parse_policy(default_files())
    request = asked("policy.show", "admin")
    strange = type(request)(request.principal, 'x"]; permit', request.resource)
    assert not policy.decide(strange).allow
    assert refused(lambda: parse_policy({SCHEMA: ""})) == Reason.POLICY_INVALID


def test_schemas_of_before_are_completed_to_the_verbs_of_now():
    for name in set(verbs()) - set(STEERING):
        files = {SCHEMA: files_without(name)[SCHEMA], "all.cedar": ALL}
        policy = parse_policy(files)
        assert policy.missing == (name,)
        files[SCHEMA] += added_actions(policy.actions)
        assert not parse_policy(files).missing
