"""N217, N218: what strangers, brokers and other gateways can make a playbook do, and how much room
one machine takes of everybody's.
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
from framegate.record.people_events import FactorFailed, SignInFailed
from framegate.record.site_events import ReportRefused, SiteFinding
from framegate_controller.people import playbooks
from framegate_controller.playbooks import engine
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
