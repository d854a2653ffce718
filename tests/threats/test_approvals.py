"""N119: approvals and who may give them, at the controller and at a gateway."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.access.approvals import APPROVAL_LIFE_MS, ApprovalStatement
from framegate.access.policy import default_files
from framegate.access.verbs import Scoped
from framegate.errors import FramegateError, Reason
from framegate.machines.request import RequestState
from framegate.registry.request import Approval
from framegate.signed.dsse import parse_envelope
from framegate_controller.people.approvers import approved, gateways_text
from framegate_controller.people.operators import NewOperator, add_operator
from framegate_controller.people.policies import apply_policy
from framegate_controller.people.requests import REQUEST_LIFE_MS, Asked, ask, use
from framegate_simulators.fixtures.access import add_person
from support.office import Office, approval, checked, content_of, role_asked
from support.refusals import refused


def test_n119_nobody_approves_their_own(office):
    request = office.ask("sara", "policy.apply")
    assert refused(lambda: office.decide(request, "sara")) == Reason.POLICY_DENIED
    assert office.counts("sara", "policy.apply") == ()


def test_n119_a_word_of_the_requesters_own_counts_for_nothing_however_it_was_written(office):
    """In a row of the database, by an administrator of its host, too."""
    identifier = office.ask()
    with office.store.writing() as tx:
        own = Approval(operator="erik", at_ms=office.clock())
        request = replace(tx.requests.find(identifier), approvals=(own,))
        tx.requests.put(replace(request, state=RequestState.APPROVED))
    assert office.counts() == ()


@pytest.mark.parametrize("target", ["board", "another", ""])
def test_n119_what_a_name_led_to_when_it_was_asked_for(office, target):
    """An approval is of that: another thing under the same message was approved by nobody."""
    with office.store.writing() as tx:
        asked = Asked(
            requester="erik",
            zone="*",
            content=content_of(),
            reason="why",
            verb="profile.import",
            target="board",
        )
        identifier = ask(tx, asked, office.policy(tx)).id
    office.decide(identifier, "sara")
    with office.store.writing() as tx:
        verb, policy = "profile.import", office.policy(tx)
        request, people = approved(tx, "erik", verb, DIGEST, policy, target=target)
    assert (request is not None, people) == (
        (True, ("sara",)) if target == "board" else (False, ())
    )


@pytest.mark.parametrize(
    ("gateways", "good"),
    [(["gw1"], True), (["gw1", "gw2"], True), (["gw3"], False), (["gw1", "gw3"], False)],
)
def test_n119_an_approval_is_taken_to_the_gateways_that_it_was_asked_for(office, gateways, good):
    asked = Asked(
        requester="erik",
        zone="line-1",
        content=content_of(),
        reason="why",
        verb="profile.import",
        target=gateways_text(["gateway.line-1.gw1", "gateway.line-1.gw2"]),
    )
    with office.store.writing() as tx:
        identifier = ask(tx, asked, office.policy(tx)).id
    office.decide(identifier, "sara")
    named = [f"gateway.line-1.{name}" for name in gateways]
    with office.store.writing() as tx:
        verb, policy = "profile.import", office.policy(tx)
        request, _ = approved(tx, "erik", verb, DIGEST, policy, gateways=named)
    assert (request is not None) is good


def test_n119_nobody_approves_what_ran_out_though_nobody_closed_it(office):
    request = office.ask()
    office.clock.pass_s(REQUEST_LIFE_MS // 1000)
    assert refused(lambda: office.decide(request, "sara")) == Reason.CONFLICT


def test_n119_what_was_approved_by_somebody_who_counts_no_more_waits_for_others(office):
    request = office.ask()
    office.decide(request, "sara")
    office.change("sara", enabled=False)
    assert office.ask() == request and office.counts() == ()
    assert office.decide(request, "sven") == "approved" and office.counts() == ("sven",)
    office.quorum(3)
    assert (
        office.ask() == request
        and refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT
    )
    office.change("sara", enabled=True)
    assert office.counts() == ("sara", "sven")


def test_n119_content_swapped_after_the_approval(office):
    office.decide(office.ask(content=b"a" * 32), "sara")
    assert office.counts(content=b"b" * 32) == ()
    assert office.counts(content=b"a" * 32) == ("sara",)


DIGEST = content_of().digest("profile.import")


def test_n119_one_request_counts_once(office):
    office.decide(office.ask(), "sara")
    with office.store.writing() as tx:
        request, people = approved(tx, "erik", "profile.import", DIGEST, office.policy(tx))
        assert people == ("sara",)
        use(tx, request)
    assert office.counts() == ()
    assert (
        refused(lambda: office.decide(office.ask(), "erik")) == Reason.POLICY_DENIED
    )  # a new one waits for others anew


def test_n119_an_approver_who_is_disabled_in_between_does_not_count(office):
    office.decide(office.ask(), "sara")
    office.change("sara", enabled=False)
    assert office.counts() == ()
    office.change("sara", enabled=True)
    assert office.counts() == ("sara",)


def test_n119_an_approver_who_lost_the_role_or_the_factors_in_between(office):
    office.decide(office.ask("erik", "policy.apply"), "sara")
    office.change("sara", roles=(Scoped("viewer"),))
    assert office.counts("erik", "policy.apply") == ()
    office.change("sara", roles=(Scoped("security"),))
    office.factors("sara", password="")
    assert office.counts("erik", "policy.apply") == ()


def test_n119_an_approver_made_by_the_requester(office):
    """An admin alone could make a puppet: it does not count for its maker, unless a second
    person agreed to its making.
    """
    office.clock.pass_s(10)
    office.ask()
    with office.store.writing() as tx:
        add_operator(
            tx,
            NewOperator(name="puppet", roles=(Scoped("security"),), vouched=False),
            by="operator.erik",
        )
    office.change("puppet", added_ms=office.clock() - 5_000)
    office.factors("puppet", password="x", totp=b"y", enrolment="")
    office.decide(office.ask(), "puppet")
    assert office.counts() == ()
    assert office.decide(office.ask("vera"), "puppet") == "approved"  # for others it does
    office.change("puppet", vouched=True)
    assert office.counts() == ("puppet",)


def test_n119_an_approver_who_came_after_the_asking(office):
    request = office.ask()
    office.clock.pass_s(5)
    add_person(office.store, office.keys, "late", "security", added_ms=office.clock())
    office.decide(request, "late")
    assert office.counts() == ()


def test_n119_an_approval_under_another_policy_is_void(office):
    request = office.ask()
    office.decide(request, "sara")
    more = '@id("more") forbid (principal, action == Action::"data.erase", resource);'
    with office.store.writing() as tx:
        apply_policy(tx, office.keys, default_files() | {"more.cedar": more}, base=1, note="")
    assert office.counts() == ()
    waiting = office.ask(content=b"c" * 32)
    with office.store.writing() as tx:
        tx.requests.put(replace(tx.requests.find(waiting), policy_sha256=bytes(32)))
    assert refused(lambda: office.decide(waiting, "sara")) == Reason.CONFLICT


def test_n119_two_approvals_racing_are_two_and_the_same_person_twice_is_one(office):
    office.quorum(3)
    request = office.ask()
    assert office.decide(request, "sara") == "pending"
    assert refused(lambda: office.decide(request, "sara")) == Reason.CONFLICT
    assert office.counts() == ("sara",)
    assert office.decide(request, "sven") == "approved"
    assert refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT
    assert office.counts() == ("sara", "sven")


def test_n119_a_raised_quorum_asks_more_of_what_was_approved(office):
    """The quorum of the moment of the act is what the policy sees."""
    office.decide(office.ask(), "sara")
    office.quorum(3)
    assert len(office.counts()) + 1 < 3


def test_n119_an_engineer_cannot_give_admin(office):
    """The default policy lets engineers approve engineering, and no more."""
    request = role_asked(office, "vera", "admin")
    office.decide(request, "erik")
    assert office.roles("vera") == ["viewer"]


STEPS = st.lists(
    st.sampled_from(
        [
            "ask",
            "approve-sara",
            "approve-sven",
            "approve-erik",
            "deny-sara",
            "use",
            "disable-sara",
            "enable-sara",
            "later",
            "policy",
            "swap",
        ]
    ),
    max_size=14,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_n119_whatever_happens_an_act_is_backed_by_somebody_else_who_stands(bench, steps):
    """State machine: when the store says an act may be done, somebody other than its author
    approved exactly it, stands now, and it was not done before.
    """
    office = OFFICES.get(id(bench)) or OFFICES.setdefault(id(bench), Office(bench))
    content = int.from_bytes(
        office.clock().to_bytes(8, "big") + len(OFFICES).to_bytes(2, "big")
    ).to_bytes(32, "big")
    office.clock.pass_s(1)
    given_by: set[str] = set()
    standing, denied, used, asked = {"sara", "sven"}, False, 0, ""
    office.change("sara", enabled=True)
    for step in steps:
        try:
            if step == "ask":
                now = office.ask(content=content)
                if now != asked:
                    asked, given_by, denied = now, set(), False
            elif step.startswith("approve"):
                office.decide(asked, step[8:])
                given_by.add(step[8:])
            elif step == "deny-sara":
                office.decide(asked, "sara", approve=False)
                denied = True
            elif step == "disable-sara":
                office.change("sara", enabled=False)
                standing.discard("sara")
            elif step == "enable-sara":
                office.change("sara", enabled=True)
                standing.add("sara")
            elif step == "later":
                office.clock.pass_s(25 * 3600)
                given_by.clear()
            elif step == "policy":
                with office.store.writing() as tx:
                    policy = office.policy(tx)
                    note = (
                        f'@id("n{policy.version}") forbid (principal, action =='
                        ' Action::"data.erase", resource);'
                    )
                    apply_policy(
                        tx,
                        office.keys,
                        default_files() | {"more.cedar": note},
                        base=policy.version,
                        note="",
                    )
                given_by.clear()
            elif step == "swap":
                assert office.counts(content=content[:-1] + bytes([content[-1] ^ 1])) == ()
            elif step == "use":
                digest = content_of(content).digest("profile.import")
                with office.store.writing() as tx:
                    request, people = approved(
                        tx, "erik", "profile.import", digest, office.policy(tx)
                    )
                    assert set(people) == (given_by & standing if not denied else set())
                    assert "erik" not in people
                    if people:
                        use(tx, request)
                        used += 1
                        given_by = set()
        except FramegateError:
            continue
    assert used <= steps.count("use")


OFFICES: dict[int, Office] = {}


@pytest.mark.parametrize(
    "changed",
    [
        {"verb": "data.erase"},
        {"content_sha256": bytes(32).hex()},
        {"requester": "eve"},
        {"gateway": "gateway.line-1.gw2"},
        {"zone": "line-2"},
        {"policy_sha256": bytes(32).hex()},
        {"approvers": ()},
        {"approvers": ("sara",)},
        {"approvers": ("sven", "sara")},
        {"issued_at_ms": 1},
        {"issued_at_ms": 4_000_000_000_000},
    ],
    ids=lambda c: f"{next(iter(c))}={str(next(iter(c.values())))[:20]}",
)
def test_n119_approvals_of_something_else(keys, changed):
    with pytest.raises(FramegateError):
        checked(keys, approval(keys, **changed))


def test_n119_an_approval_that_is_old_forged_or_signed_for_another_purpose(keys, tmp_path):
    good = approval(keys)
    assert (
        refused(
            lambda: checked(
                keys, good, datetime.now(UTC) + timedelta(milliseconds=APPROVAL_LIFE_MS + 60_000)
            )
        )
        == Reason.APPROVAL_NEEDED
    )
    signer = keys.signing["policy"]
    statement = ApprovalStatement.parse_payload(
        parse_envelope(good, ApprovalStatement.TYPE).payload
    )
    with pytest.raises(FramegateError):
        checked(keys, statement.seal(signer.der, signer.sign))
    for at in range(0, len(good), 41):
        with pytest.raises(FramegateError):
            checked(keys, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
