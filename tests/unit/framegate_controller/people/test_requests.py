"""Requests and approvals: what one word of another person allows, and for how long."""

from dataclasses import replace

import pytest

from framegate.access.caller import roles_in
from framegate.errors import Reason
from framegate.machines.request import RequestKind
from framegate.registry.operator import OperatorSession
from framegate.registry.request import AccessRequest
from framegate_controller.people.approvers import approvers
from framegate_controller.people.operators import (
    end_sessions,
    notices,
    parse_roles,
    quorum,
    roles_now,
    set_quorum,
)
from framegate_controller.people.requests import MAX_MINUTES, MAX_PENDING, expire, use
from support.office import role_asked
from support.refusals import refused


def test_somebody_else_approves_and_it_counts_for_exactly_this(office):
    request = office.ask()
    assert office.counts() == ()
    assert office.decide(request, "sara") == "approved"
    assert office.counts() == ("sara",)
    assert (
        office.counts(content=bytes(32))
        == office.counts(verb="policy.apply")
        == office.counts(requester="vera")
        == ()
    )


def test_asking_again_is_the_same_request(office):
    first = office.ask()
    assert office.ask() == first != office.ask(content=bytes(32))
    office.decide(first, "sara")
    assert office.ask() == first and office.counts() == ("sara",)  # approved and not used yet
    with office.store.writing() as tx:
        use(tx, tx.requests.find(first))
    assert office.ask() != first


def test_a_no_ends_it(office):
    request = office.ask()
    assert office.decide(request, "sara", approve=False) == "denied"
    assert refused(lambda: office.decide(request, "sven")) == Reason.CONFLICT
    assert office.counts() == () and "access-denied" in office.events()


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "king"},
        {"role": ""},
        {"minutes": 0},
        {"minutes": -5},
        {"minutes": MAX_MINUTES + 1},
        {"reason": ""},
        {"reason": "  "},
    ],
    ids=str,
)
def test_roles_asked_wrongly(office, wrong):
    assert refused(lambda: role_asked(office, **wrong)) == Reason.USAGE


def test_a_role_in_a_zone_is_one_in_that_zone(office):
    office.decide(role_asked(office, zone="line-2"), "sara")
    assert office.roles("vera") == ["engineer@line-2", "viewer"]
    with office.store.reading() as tx:
        roles = roles_now(tx, tx.people.find("vera"))
    assert roles_in(roles, "line-2") == ("engineer", "viewer") and roles_in(
        roles, "line-1"
    ) == roles_in(roles, "*") == ("viewer",)


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
                OperatorSession(
                    spki_sha256=spki,
                    operator="vera",
                    began_ms=0,
                    expires_ms=office.clock() + 1000,
                    factor_ms=0,
                    method="password",
                    source="",
                )
            )
        assert end_sessions(tx, "vera") == 2 and end_sessions(tx, "vera") == 0


def test_approvers_of_a_request_are_asked_anew_each_time(office):
    request = office.ask()
    office.decide(request, "sara")
    with office.store.writing() as tx:
        pending, policy = tx.requests.find(request), office.policy(tx)
        assert approvers(tx, pending, policy) == ("sara",)
        tx.people.put(replace(tx.people.find("sara"), enabled=False))
        assert approvers(tx, pending, policy) == ()
