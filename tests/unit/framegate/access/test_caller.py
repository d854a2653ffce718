"""Who asks, in which zones, and which answer is recorded."""

import pytest

from framegate.access.caller import (
    Answer,
    Caller,
    Place,
    PlaybookCaller,
    Ruling,
    question,
    roles_in,
    rule,
)
from framegate.access.decision import Decision
from framegate.access.policy import parse_policy
from framegate.access.verbs import Scoped, find_verb, parse_scoped
from framegate.errors import Failure, Malformed, Reason
from support.access import policy_files
from support.refusals import refused

ROLES = (Scoped("viewer"), Scoped("operator", "line-1"), Scoped("operator", "line-2"))
ANNA = Caller(
    name="anna",
    roles=ROLES,
    session=bytes(32),
    factor_ms=1_000,
    break_glass=False,
    source="ipv4:192.0.2.7:1",
)
HOLD = PlaybookCaller(
    name="hold-suspects",
    roles=(),
    session=b"",
    factor_ms=0,
    break_glass=False,
    source="",
    mode="act",
    approvers=("ben",),
)
PLACE = Place(zone="line-1", frozen=False, fleet="plant", quorum=2)
DENIED = Failure(Reason.POLICY_DENIED, "a permit", "none")


def test_roles_hold_in_their_zone_or_everywhere():
    assert roles_in(ROLES, "line-1") == ANNA.roles_in("line-2") == ("operator", "viewer")
    assert ANNA.roles_in("line-3") == ANNA.roles_in("*") == ("viewer",)


def test_people_and_playbooks_are_told_apart_in_entries():
    assert (ANNA.actor, ANNA.playbook_mode) == ("operator.anna", "")
    assert (HOLD.actor, HOLD.playbook_mode) == ("playbook.hold-suspects", "act")


def test_zones_that_are_put_to_the_policy():
    anywhere = find_verb("device.list")
    assert anywhere.on == "any"
    assert ANNA.zones_asked(anywhere, "*") == ("*", "line-1", "line-2")
    assert ANNA.zones_asked(anywhere, "line-9") == ("line-9",)
    assert ANNA.zones_asked(find_verb("device.quarantine"), "*") == ("*",)


def test_a_question_says_who_where_and_how_old_the_factor_is():
    how = {"approvals": 0, "target": "t", "now_ms": 61_500}
    asked = question(ANNA, find_verb("device.quarantine"), PLACE, **how)
    assert asked.principal == ("Operator", "anna") and asked.roles == ("operator", "viewer")
    assert (asked.context["factorAge"], asked.context["quorum"]) == (60, 2)
    assert question(HOLD, find_verb("device.quarantine"), PLACE, **how).principal[0] == "Playbook"


def test_who_broke_the_glass_decides_alone():
    glass = Caller(
        name="anna", roles=(), session=b"", factor_ms=9_000, break_glass=True, source="x"
    )
    asked = question(
        glass, find_verb("device.release"), PLACE, approvals=0, target="", now_ms=1_000
    )
    assert (asked.context["quorum"], asked.context["factorAge"]) == (1, 0)


def answer(zone, *policies, allow=False):
    return Answer(zone, None, Decision(allow, policies, None if allow else DENIED))


@pytest.mark.parametrize(
    ("answers", "decisive", "zones"),
    [
        ([answer("*", allow=True)], 0, None),
        ([answer("line-1", allow=True)], 0, None),
        ([answer("*"), answer("a"), answer("b", allow=True)], 2, {"b"}),
        ([answer("*"), answer("a", "forbid"), answer("b")], 1, set()),
        ([answer("*"), answer("a")], 0, set()),
    ],
)
def test_the_first_allow_or_the_first_named_denial_is_recorded(answers, decisive, zones):
    ruling = Ruling(tuple(answers))
    assert ruling.decisive is answers[decisive] and ruling.zones == zones
    assert ruling.allowed is any(a.decision.allow for a in answers)


def test_what_the_fleet_allows_asks_no_more_zones():
    policy, verb = parse_policy(policy_files()), find_verb("device.list")

    def asked(caller):
        for zone in caller.zones_asked(verb, "*"):
            place = Place(zone=zone, frozen=False, fleet="plant", quorum=2)
            yield zone, question(caller, verb, place, approvals=0, target="", now_ms=2_000)

    assert [a.zone for a in rule(policy, asked(ANNA)).answers] == ["*"]
    scoped = Caller(
        name="cleo",
        roles=(Scoped("viewer", "line-2"),),
        session=b"",
        factor_ms=1_000,
        break_glass=False,
        source=ANNA.source,
    )
    ruling = rule(policy, asked(scoped))
    assert [a.decision.allow for a in ruling.answers] == [False, True]
    assert ruling.zones == {"line-2"}


def test_roles_as_they_are_written():
    assert str(parse_scoped("operator@line-1")) == "operator@line-1"
    assert parse_scoped("viewer@*") == parse_scoped("viewer") == Scoped("viewer")
    for text in ("", "king", "viewer@", "viewer@Line 1", "@line-1"):
        assert refused(lambda t=text: parse_scoped(t), Malformed) == Reason.USAGE


@pytest.mark.parametrize(
    ("name", "near"),
    [("quarantine", "a verb: device.quarantine,"), ("", "a verb,"), ("zzzz", "a verb,")],
)
def test_a_verb_that_there_is_none_of_names_those_near(name, near):
    with pytest.raises(Malformed, match=near):
        find_verb(name)
