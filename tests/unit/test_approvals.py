"""Roles for a while and two-person decisions: asked, approved by others, used once; every way round them (N119)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.access.approvals import APPROVAL_LIFE_MS, ApprovalStatement, content_digest, verify_approval
from framegate.access.caller import roles_in
from framegate.access.policy import default_files
from framegate.access.verbs import Scoped, parse_scoped
from framegate.errors import FramegateError, Malformed, Reason
from framegate.machines.request import RequestKind
from framegate.registry.operator import OperatorSession
from framegate.registry.request import AccessRequest
from framegate.signed.dsse import parse_envelope
from framegate_controller.people.approvers import approved, approvers
from framegate_controller.people.operators import NewOperator, add_operator, end_sessions, notices, parse_roles, quorum, roles_now, set_quorum
from framegate_controller.people.policies import apply_policy, load_policy
from framegate_controller.people.requests import MAX_MINUTES, MAX_PENDING, Asked, AskedRole, Word, ask, ask_role, decide, expire, use
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_simulators.fixtures.access import add_person

CONTENT = bytes(range(32))


class Office:
    """A store with people in it, and a clock."""

    def __init__(self, bench) -> None:
        self.bench, self.keys, self.clock, self.store, self.policies = bench, bench.keys, bench.clock, bench.store, InMemoryPolicies()
        for name, role in (("erik", "engineer"), ("sara", "security"), ("sven", "security"), ("vera", "viewer"), ("sam", "security@line-2")):
            add_person(self.store, self.keys, name, role)
        self.quorum(2)

    def policy(self, tx):
        return load_policy(tx, self.keys, self.policies)

    def quorum(self, value: int) -> None:
        with self.store.writing() as tx:
            tx.settings.put("quorum", str(value))

    def ask(self, requester: str = "erik", verb: str = "profile.import", content: bytes = CONTENT, zone: str = "*") -> str:
        asked = Asked(requester=requester, zone=zone, summary="what it is", reason="why", verb=verb, content_sha256=content)
        with self.store.writing() as tx:
            return ask(tx, asked, self.policy(tx)).id

    def decide(self, request: str, approver: str, approve: bool = True) -> str:
        with self.store.writing() as tx:
            word = Word(approver=approver, approve=approve, remark="looked at it")
            decide(tx, tx.requests.find(request), word, self.policy(tx))
            return tx.requests.find(request).state

    def counts(self, requester: str = "erik", verb: str = "profile.import", content: bytes = CONTENT) -> tuple[str, ...]:
        with self.store.reading() as tx:
            return approved(tx, requester, verb, content, self.policy(tx))[1]

    def roles(self, name: str) -> list[str]:
        with self.store.reading() as tx:
            return [str(r) for r in roles_now(tx, tx.people.find(name))]

    def change(self, name: str, **members) -> None:
        with self.store.writing() as tx:
            tx.people.put(replace(tx.people.find(name), **members))

    def factors(self, name: str, **members) -> None:
        with self.store.writing() as tx:
            person = tx.people.find(name)
            tx.people.put(replace(person, factors=replace(person.factors, **members)))

    def events(self) -> list[str]:
        return [e["event"] for e in self.bench.events()]


@pytest.fixture
def office(bench):
    return Office(bench)


def refused(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


def test_somebody_else_approves_and_it_counts_for_exactly_this(office):
    request = office.ask()
    assert office.counts() == ()
    assert office.decide(request, "sara") == "approved"
    assert office.counts() == ("sara",)
    assert office.counts(content=bytes(32)) == office.counts(verb="policy.apply") == office.counts(requester="vera") == ()


def test_asking_again_is_the_same_request(office):
    first = office.ask()
    assert office.ask() == first != office.ask(content=bytes(32))
    office.decide(first, "sara")
    assert office.ask() == first and office.counts() == ("sara",)  # approved and not used yet
    with office.store.writing() as tx:
        use(tx, tx.requests.find(first))
    assert office.ask() != first


def test_n119_nobody_approves_their_own(office):
    request = office.ask("sara", "policy.apply")
    assert refused(lambda: office.decide(request, "sara")) == Reason.POLICY_DENIED
    assert office.counts("sara", "policy.apply") == ()


def test_n119_what_was_approved_by_somebody_who_counts_no_more_waits_for_others(office):
    request = office.ask()
    office.decide(request, "sara")
    office.change("sara", enabled=False)
    assert office.ask() == request and office.counts() == ()
    assert office.decide(request, "sven") == "approved" and office.counts() == ("sven",)
    office.quorum(3)
    assert office.ask() == request and refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT
    office.change("sara", enabled=True)
    assert office.counts() == ("sara", "sven")


def test_n119_content_swapped_after_the_approval(office):
    office.decide(office.ask(content=b"a" * 32), "sara")
    assert office.counts(content=b"b" * 32) == ()
    assert office.counts(content=b"a" * 32) == ("sara",)


def test_n119_one_request_counts_once(office):
    office.decide(office.ask(), "sara")
    with office.store.writing() as tx:
        request, people = approved(tx, "erik", "profile.import", CONTENT, office.policy(tx))
        assert people == ("sara",)
        use(tx, request)
    assert office.counts() == ()
    assert refused(lambda: office.decide(office.ask(), "erik")) == Reason.POLICY_DENIED  # a new one waits for others anew


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
    """An admin alone could make a puppet: it does not count for its maker, unless a second person agreed to its making."""
    office.clock.pass_s(10)
    office.ask()
    with office.store.writing() as tx:
        add_operator(tx, NewOperator(name="puppet", roles=(Scoped("security"),), vouched=False), by="operator.erik")
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


def test_a_no_ends_it(office):
    request = office.ask()
    assert office.decide(request, "sara", approve=False) == "denied"
    assert refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT
    assert office.counts() == ()


def test_requests_run_out(office):
    request = office.ask()
    office.decide(request, "sara")
    office.clock.pass_s(24 * 3600 + 1)
    assert office.counts() == ()
    with office.store.writing() as tx:
        expire(tx)
        assert tx.requests.find(request).state == "expired"
    assert refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT


def test_a_role_in_one_zone_approves_nothing_for_the_fleet_or_another_zone(office):
    for zone, expected in (("*", ()), ("line-1", ()), ("line-2", ("sam",))):
        request = office.ask(verb="device.lift", content=zone.encode().ljust(32), zone=zone)
        office.decide(request, "sam")
        assert office.counts(verb="device.lift", content=zone.encode().ljust(32)) == expected


def test_a_viewers_word_counts_for_nothing(office):
    office.decide(office.ask(), "vera")
    assert office.counts() == ()


@pytest.mark.parametrize("text", ["", "zz", "%", "_", "x" * 1000, "\x1b[2J"])
def test_requests_that_are_not_there(office, text):
    office.ask()
    assert refused(lambda: office.decide(text, "sara")) == Reason.NOT_FOUND


def test_a_flood_of_requests_stops_at_its_author(office):
    for number in range(MAX_PENDING):
        office.ask(content=number.to_bytes(32, "big"))
    assert refused(lambda: office.ask(content=b"z" * 32)) == Reason.TOO_MANY_TRIES
    assert office.ask("vera")


# --- roles for a while ---


def role_asked(office, requester: str = "vera", role: str = "engineer", zone: str = "*", minutes: int = 30, reason: str = "new board") -> str:
    asked = AskedRole(requester=requester, role=role, zone=zone, minutes=minutes, reason=reason)
    with office.store.writing() as tx:
        return ask_role(tx, asked, office.policy(tx)).id


def test_a_role_granted_late_lasts_as_long_as_it_was_granted_for(office):
    """The request runs out a day after it was asked; the role that it gave does not."""
    request = role_asked(office, minutes=120)
    office.clock.pass_s(24 * 3600 - 60)
    assert office.decide(request, "sara") == "approved"
    office.clock.pass_s(120)
    with office.store.writing() as tx:
        expire(tx)
        assert tx.requests.find(request).state == "approved"
    assert office.roles("vera") == ["engineer", "viewer"]


def test_a_role_for_a_while_ends_by_itself(office):
    request = role_asked(office)
    assert office.roles("vera") == ["viewer"]
    assert office.decide(request, "sara") == "approved"
    assert office.roles("vera") == ["engineer", "viewer"]
    office.clock.pass_s(30 * 60 - 1)
    assert office.roles("vera") == ["engineer", "viewer"]
    office.clock.pass_s(1)
    assert office.roles("vera") == ["viewer"]
    assert {"access-asked", "access-approved", "role-granted"} <= set(office.events())


def test_admin_is_asked_for_and_never_stands(office):
    assert refused(lambda: parse_roles(["admin"])) == Reason.USAGE
    request = role_asked(office, "erik", "admin")
    office.decide(request, "sara")
    assert office.roles("erik") == ["admin", "engineer"]


def test_n119_an_engineer_cannot_give_admin(office):
    """The default policy lets engineers approve engineering, and no more."""
    request = role_asked(office, "vera", "admin")
    office.decide(request, "erik")
    assert office.roles("vera") == ["viewer"]


@pytest.mark.parametrize("wrong", [{"role": "king"}, {"role": ""}, {"minutes": 0}, {"minutes": -5}, {"minutes": MAX_MINUTES + 1}, {"reason": ""}, {"reason": "  "}], ids=str)
def test_roles_asked_wrongly(office, wrong):
    assert refused(lambda: role_asked(office, **wrong)) == Reason.USAGE


def test_a_role_in_a_zone_is_one_in_that_zone(office):
    office.decide(role_asked(office, zone="line-2"), "sara")
    assert office.roles("vera") == ["engineer@line-2", "viewer"]
    with office.store.reading() as tx:
        held = roles_now(tx, tx.people.find("vera"))
    assert roles_in(held, "line-2") == ("engineer", "viewer") and roles_in(held, "line-1") == roles_in(held, "*") == ("viewer",)


def test_where_one_person_decides_a_role_is_given_at_once_and_said_so(office):
    office.quorum(1)
    role_asked(office)
    assert office.roles("vera") == ["engineer", "viewer"]
    last = office.bench.events()[-1]
    assert last["event"] == "role-granted" and "quorum 1" in last["detail"]
    with office.store.reading() as tx:
        assert any("quorum 1" in n for n in notices(tx))


@pytest.mark.parametrize("value", [0, -1, 4, 100])
def test_quorums_that_are_none(office, value):
    with office.store.writing() as tx:
        assert refused(lambda: set_quorum(tx, value)) == Reason.USAGE


def test_a_quorum_larger_than_the_people(office):
    for name in ("sara", "sven", "vera", "sam"):
        office.change(name, enabled=False)
    with office.store.writing() as tx:
        assert refused(lambda: set_quorum(tx, 2)) == Reason.CONFLICT
        set_quorum(tx, 1)
        assert quorum(tx) == 1


def test_break_glass_waits_for_somebody_else_to_look_into_it(office):
    review = AccessRequest(
        id="abcd0123",
        kind=RequestKind.REVIEW,
        requester="erik",
        zone="*",
        summary="s",
        reason="r",
        asked_ms=office.clock(),
        expires_ms=office.clock() + 10**12,
    )
    with office.store.writing() as tx:
        tx.requests.put(review)
    assert refused(lambda: office.decide("abcd", "erik")) == Reason.POLICY_DENIED
    office.clock.pass_s(30 * 86_400)
    with office.store.writing() as tx:
        expire(tx)
        assert any("BREAK-GLASS" in n for n in notices(tx))
    office.decide("abcd", "sara")
    with office.store.reading() as tx:
        assert not any("BREAK-GLASS" in n for n in notices(tx))
    assert "break-glass-reviewed" in office.events()


def test_sessions_end_with_their_person(office):
    with office.store.writing() as tx:
        for spki in (b"a" * 32, b"b" * 32):
            tx.people.put_session(
                OperatorSession(spki_sha256=spki, operator="vera", began_ms=0, expires_ms=office.clock() + 1000, factor_ms=0, method="password", source="")
            )
        assert end_sessions(tx, "vera") == 2 and end_sessions(tx, "vera") == 0


STEPS = st.lists(
    st.sampled_from(["ask", "approve-sara", "approve-sven", "approve-erik", "deny-sara", "use", "disable-sara", "enable-sara", "later", "policy", "swap"]), max_size=14
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_n119_whatever_happens_an_act_is_backed_by_somebody_else_who_stands(bench, steps):
    """State machine: when the store says an act may be done, somebody other than its author approved exactly it, stands now, and it was not done before."""
    office = OFFICES.get(id(bench)) or OFFICES.setdefault(id(bench), Office(bench))
    content = int.from_bytes(office.clock().to_bytes(8, "big") + len(OFFICES).to_bytes(2, "big")).to_bytes(32, "big")
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
                    found = office.policy(tx)
                    note = f'@id("n{found.version}") forbid (principal, action == Action::"data.erase", resource);'
                    apply_policy(tx, office.keys, default_files() | {"more.cedar": note}, base=found.version, note="")
                given_by.clear()
            elif step == "swap":
                assert office.counts(content=content[:-1] + bytes([content[-1] ^ 1])) == ()
            elif step == "use":
                with office.store.writing() as tx:
                    request, people = approved(tx, "erik", "profile.import", content, office.policy(tx))
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


# --- approvals on their way to a gateway ---


def approval(keys, **changed) -> bytes:
    members = {
        "request_id": "0a1b2c3d", "verb": "frame.export", "zone": "line-1", "content_sha256": CONTENT.hex(), "requester": "sara", "approvers": ("sven",), "policy_sha256": (b"p" * 32).hex(),
        "gateway": "gateway.line-1.gw1", "reason": "claim 17", "issued_at_ms": int(datetime.now(UTC).timestamp() * 1000), **changed,
    }  # fmt: skip
    return ApprovalStatement(**members).seal(keys.signing["approval"].der, keys.signing["approval"].sign)


def checked(keys, data: bytes, now: datetime | None = None, **changed):
    asked = {"verb": "frame.export", "content_sha256": CONTENT, "requester": "sara", "gateway": "gateway.line-1.gw1", "zone": "line-1", "policy_sha256": b"p" * 32, **changed}
    return verify_approval(data, root=keys.root.certificate, now=now or datetime.now(UTC), **asked)


def test_an_approval_that_counts(keys):
    assert checked(keys, approval(keys)).approvers == ("sven",)


@pytest.mark.parametrize(
    "changed",
    [{"verb": "data.erase"}, {"content_sha256": bytes(32).hex()}, {"requester": "eve"}, {"gateway": "gateway.line-1.gw2"}, {"zone": "line-2"}, {"policy_sha256": bytes(32).hex()}, {"approvers": ()},
     {"approvers": ("sara",)}, {"approvers": ("sven", "sara")}, {"issued_at_ms": 1}, {"issued_at_ms": 4_000_000_000_000}],
    ids=lambda c: f"{next(iter(c))}={str(next(iter(c.values())))[:20]}",
)  # fmt: skip
def test_n119_approvals_of_something_else(keys, changed):
    with pytest.raises(FramegateError):
        checked(keys, approval(keys, **changed))


def test_n119_an_approval_that_is_old_forged_or_signed_for_another_purpose(keys, tmp_path):
    good = approval(keys)
    assert refused(lambda: checked(keys, good, datetime.now(UTC) + timedelta(milliseconds=APPROVAL_LIFE_MS + 60_000))) == Reason.APPROVAL_NEEDED
    signer = keys.signing["policy"]
    statement = ApprovalStatement.parse_payload(parse_envelope(good, ApprovalStatement.TYPE).payload)
    with pytest.raises(FramegateError):
        checked(keys, statement.seal(signer.der, signer.sign))
    for at in range(0, len(good), 41):
        with pytest.raises(FramegateError):
            checked(keys, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])


@given(st.binary(max_size=300))
def test_approvals_that_are_anything(keys, data):
    with pytest.raises(FramegateError):
        checked(keys, data)


@given(st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=16)), st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=16)))
def test_digests_of_what_is_approved_do_not_run_together(first, second):
    assert (content_digest(*first) == content_digest(*second)) == (first == second)


@given(st.text(max_size=30))
def test_scoped_roles_that_are_anything(text):
    try:
        made = parse_scoped(text)
    except Malformed:
        return
    assert parse_scoped(str(made)) == made and isinstance(made, Scoped)


def test_approvers_of_a_request_are_asked_anew_each_time(office):
    request = office.ask()
    office.decide(request, "sara")
    with office.store.writing() as tx:
        found, policy = tx.requests.find(request), office.policy(tx)
        assert approvers(tx, found, policy) == ("sara",)
        tx.people.put(replace(tx.people.find("sara"), enabled=False))
        assert approvers(tx, found, policy) == ()
