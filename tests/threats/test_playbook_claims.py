"""N217, N218, N237: what strangers, brokers and other gateways can make a playbook do, how much
room one machine takes of everybody's, and what whoever approves is shown.
"""

import pytest

from framegate.behaviour.rules import RuleName
from framegate.errors import Reason
from framegate.findings.kinds import Finding, FindingKind
from framegate.machines.playbook_step import StepState
from framegate.playbooks.sighting import CLAIMED, CLAIMED_RULES
from framegate.record.behaviour_events import BehaviourNoticed
from framegate.record.events import events
from framegate.record.machine_events import EvidenceAsked
from framegate.record.people_events import AccessAsked, FactorFailed, SignInFailed
from framegate.record.site_events import ReportRefused, SiteFinding
from framegate_controller.people import playbooks
from framegate_controller.playbooks import engine
from framegate_controller.store.sql.playbooks import SqlPlaybooks
from framegate_proto.asked import message_of
from framegate_proto.rendering import render
from framegate_proto.v1 import framegate_pb2 as pb
from support.playbooks import playbook_toml

CAMERA = "camera.line-1.line-1-c0"


def noticed(rule: str) -> BehaviourNoticed:
    return BehaviourNoticed(
        rule=rule, kind="", operator="vera", first=0, last=1, count=5, what="a test", rank=4
    )


def finding(kind: FindingKind, reason: Reason = Reason.OPENING) -> SiteFinding:
    seen = Finding(kind=kind, reason=reason, device=CAMERA, count=1, first_ms=1, last_ms=1)
    return SiteFinding(
        finding=seen, device=CAMERA, reporter="gateway.line-1.gw", store="s", report=1
    )


def test_n217_a_stranger_who_types_a_name_disables_nobody(response):
    when = 'event = ["sign-in-failed"]\ncount = 5\nwindow = "10m"\nby = "actor"'
    response.enable(playbook_toml("guessed", do=("disable-operator",), when=when))
    for _ in range(5):
        response.event(SignInFailed(what="sign-in", source="192.0.2.1"), by="operator.vera")
    response.settle()
    with response.store.reading() as tx:
        assert tx.people.get("vera").enabled
    (step,) = response.steps()
    assert step.state == StepState.ASKED and "named by somebody else" in step.why


@pytest.mark.parametrize("rule", [RuleName.FAILURES_THEN_SUCCESS, RuleName.EXPORTS])
def test_n217_rules_that_others_can_meet_for_a_person_end_no_session(response, rule):
    when = 'event = ["behaviour-noticed"]'
    response.enable(playbook_toml("odd", do=("end-sessions",), when=when))
    response.event(noticed(rule.value))
    response.settle()
    assert [s.state for s in response.steps()] == [StepState.ASKED]


def test_n217_a_rule_that_only_the_person_can_meet_is_acted_on(response):
    response.enable(
        playbook_toml("odd", do=("end-sessions",), when='event = ["behaviour-noticed"]')
    )
    response.event(noticed(RuleName.DENIALS.value))
    response.settle()
    assert [s.state for s in response.steps()] == [StepState.DONE]


@pytest.mark.parametrize(
    "kind",
    [
        FindingKind.OPENING_REFUSED,
        FindingKind.SEAL_REFUSED,
        FindingKind.FRAME_REPLAYED,
        FindingKind.SEGMENT_SPOOFED,
    ],
)
def test_n217_whoever_shows_a_cameras_certificate_or_frames_takes_it_off_no_line(response, kind):
    response.cameras(3)
    response.enable(playbook_toml(when=f'event = ["{kind.value}"]'))
    response.event(finding(kind), by="gateway.line-1.gw")
    response.settle()
    assert set(response.states()) == {"trusted"}
    assert [s.state for s in response.steps()] == [StepState.ASKED]


def test_n217_what_a_camera_itself_sealed_is_acted_on(response):
    response.cameras(3)
    response.enable(playbook_toml(when='event = ["frame-manipulated"]'))
    response.event(finding(FindingKind.FRAME_MANIPULATED, Reason.NOISE_MISSING))
    response.settle()
    assert response.states().count("quarantined") == 1


def test_n217_a_gateway_that_forges_anothers_report_has_nobody_held(response):
    response.cameras(3)
    response.enable(playbook_toml(when='event = ["report-refused"]'))
    refused = ReportRefused(
        device=CAMERA, reason=Reason.REPORT, what="forged", by="gateway.line-2.other"
    )
    response.event(refused, by="gateway.line-2.other")
    response.settle()
    assert set(response.states()) == {"trusted"}


def test_n217_what_takes_nothing_from_anybody_is_done_all_the_same(response):
    response.cameras(3)
    response.enable(
        playbook_toml("look", do=("attest-now", "notify"), when='event = ["opening-refused"]')
    )
    response.event(finding(FindingKind.OPENING_REFUSED), by="gateway.line-1.gw")
    response.settle()
    assert {s.state for s in response.steps()} == {StepState.DONE}


def test_n217_the_lists_name_events_and_rules_that_there_are():
    assert set(events()) >= CLAIMED and set(RuleName) >= CLAIMED_RULES


def test_n218_a_machine_that_goes_on_and_on_waits_in_one_place(response):
    response.cameras(2)
    response.enable(
        playbook_toml("flood", mode="ask", when='event = ["attest-now"]', cooldown="1m")
    )
    for _ in range(20):
        response.event(EvidenceAsked(device=CAMERA, why="a test"))
        response.settle()
        response.clock.now += 60_000
    assert len(response.steps("held", "asked")) == 1


def test_n218_what_one_playbook_holds_is_not_in_anothers_way(response, monkeypatch):
    monkeypatch.setattr(engine, "MOST_STEPS", 5)
    monkeypatch.setattr(playbooks, "MOST_STEPS", 5)
    response.cameras(12)
    response.enable(playbook_toml("flood", mode="ask", when='event = ["attest-now"]'))
    text = playbook_toml("quiet", ("end-sessions",), 'event = ["factor-failed"]', mode="ask")
    response.enable(text)
    for number in range(12):
        response.event(EvidenceAsked(device=f"camera.line-1.line-1-c{number}", why="a test"))
    response.event(FactorFailed(source="192.0.2.1"), by="operator.vera")
    response.settle()
    asked = {s.playbook for s in response.steps("asked")}
    assert asked == {"flood", "quiet"}
    response.disable("flood")
    left = [s for s in response.steps("held", "asked", "planned") if s.playbook == "flood"]
    assert not left, "a stop drops all that waits, however much that is"


def asked_of(response) -> pb.RunPlaybookRequest:
    """What the one request that waits asks for, as whoever approves reads it."""
    (identifier,) = response.requests()
    with response.store.reading() as tx:
        body = tx.requests.content(identifier)
        kind = tx.requests.find(identifier).content_type
    return message_of(kind, body)


def test_n237_whoever_approves_reads_everything_that_is_done_and_to_whom(response):
    response.cameras(2)
    do = ("notify", "end-sessions", "quarantine", "freeze-zone")
    response.enable(playbook_toml("all", do=do, mode="ask", when='event = ["attest-now"]'))
    response.event(EvidenceAsked(device=CAMERA, why="a test"), by="operator.vera")
    response.settle()
    steps = {(s.trigger, s.target, s.action) for s in response.steps("asked")}
    asked = asked_of(response)
    shown = {(t.trigger, t.target, a) for t in asked.targets for a in t.actions}
    assert shown == steps and {target for _, target, _ in shown} == {CAMERA, "vera", "line-1"}
    text = "\n".join(line for member in render(asked) for line in member.lines)
    assert all(f'"{word}"' in text for word in (CAMERA, "vera", "line-1", *do))


def test_n217_whoever_asks_for_a_role_in_a_zone_freezes_no_zone(response):
    text = playbook_toml("grab", do=("freeze-zone",), when='event = ["access-asked"]')
    response.enable(text)
    asked = AccessAsked(
        request="1", about="admin", zone="line-1", summary="a role", content_sha256="00"
    )
    response.event(asked, by="operator.vera")
    response.settle()
    assert [s.state for s in response.steps()] == [StepState.ASKED]


def test_n218_what_waits_is_not_read_whole_for_each_entry(response, monkeypatch):
    response.cameras(3)
    response.enable(playbook_toml("flood", mode="ask", when='event = ["attest-now"]'))
    for number in range(3):
        response.event(EvidenceAsked(device=f"camera.line-1.line-1-c{number}", why="a test"))
    response.engine.look()
    assert len(response.steps("held")) == 3
    response.clock.now += 3_600_000
    read = []
    looked = SqlPlaybooks.in_state
    monkeypatch.setattr(
        SqlPlaybooks, "in_state", lambda *given: read.append(given[1:]) or looked(*given)
    )
    response.event(EvidenceAsked(device=CAMERA, why="a test"))
    response.engine._follow()
    assert not read and len(response.steps("held")) == 3
