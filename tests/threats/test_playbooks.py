"""Playbooks: a storm, a loop, a weapon against a line (N152)."""

from dataclasses import replace

import pytest

from framegate.errors import Reason, Refused
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.machines.playbook_step import StepState
from framegate.record.machine_events import EvidenceAsked, EvidenceRefused
from framegate.record.people_events import BreakGlassUsed, FactorFailed
from framegate_controller.people.playbooks import ActingPlaybook, playbook_caller
from framegate_simulators.fixtures.access import signed_in
from support.playbooks import HOLD, playbook_toml


def test_n152_a_storm_of_a_thousand_meets_the_cap_exactly_and_the_rest_is_one_request(response):
    cameras = response.cameras(1_000)
    response.enable(playbook_toml(devices=20))
    response.contradict(*cameras)
    response.settle()
    assert response.states().count("quarantined") == 20
    (request,) = response.requests()
    assert len(response.entries("playbook-asked")) == 1
    assert len(response.steps("asked")) == 980
    with response.store.reading() as tx:
        assert tx.requests.find(request).requester == "playbook.hold-contradicted"


def test_n152_what_a_person_approved_is_done_but_for_the_last_camera(response):
    cameras = response.cameras(30)
    response.enable(playbook_toml(devices=5))
    response.contradict(*cameras)
    response.settle()
    response.decide()
    response.settle()
    assert response.states().count("quarantined") == 29
    (left,) = response.steps("refused")
    assert "last camera" in left.why
    acts = [e for e in response.entries("quarantine") if e.get("request")]
    assert len(acts) == 24 and {e["actor"] for e in acts} == {"playbook.hold-contradicted"}


def test_n152_a_no_ends_it_and_the_next_storm_asks_anew(response):
    cameras = response.cameras(10)
    response.enable(playbook_toml(mode="ask"))
    response.contradict(*cameras[:4])
    response.settle()
    response.decide(approve=False)
    response.settle()
    assert len(response.steps("refused")) == 4 and "quarantined" not in response.states()
    response.contradict(*cameras[4:6])
    response.settle()
    assert len(response.requests()) == 1 and len(response.steps("asked")) == 2


def test_n152_a_share_of_a_zone_is_capped_over_all_playbooks(response):
    first, second = response.cameras(40, "line-1"), response.cameras(10, "line-2")
    for name in ("a", "b"):
        text = playbook_toml(name, devices=100, share=10, when='event = ["contradicted"]')
        response.enable(text)
    response.contradict(*first, *second)
    response.settle()
    held = [s.target for s in response.steps("done")]
    assert len({t for t in held if ".line-1." in t}) == 4
    assert len({t for t in held if ".line-2." in t}) == 1


def test_n152_a_cap_is_of_any_hour_not_of_a_full_one(response):
    cameras = response.cameras(12)
    response.enable(playbook_toml(devices=3))
    response.contradict(*cameras[:5])
    response.settle()
    response.clock.now += 3_500_000
    response.contradict(*cameras[5:7])
    response.settle()
    assert response.states().count("quarantined") == 3
    response.clock.now += 200_000
    response.contradict(*cameras[7:9])
    response.settle()
    assert response.states().count("quarantined") == 5


def test_n152_neither_a_new_revision_nor_a_stop_in_between_is_a_new_cap(response):
    cameras = response.cameras(12)
    response.enable(playbook_toml(devices=3))
    response.contradict(*cameras[:4])
    response.settle()
    response.enable(playbook_toml(devices=3, cooldown="2h"))
    response.contradict(*cameras[4:6])
    response.settle()
    response.disable()
    response.enable(playbook_toml(devices=3))
    response.contradict(*cameras[6:8])
    response.settle()
    assert response.states().count("quarantined") == 3


def test_n152_two_playbooks_do_not_run_each_other(response):
    cameras = response.cameras(3)
    on_hold = playbook_toml(
        "ask-whoever-is-held", do=("attest-now", "notify"), when='event = ["quarantine"]'
    )
    on_ask = playbook_toml("hold-whoever-is-asked", when='event = ["attest-now"]')
    for text in (on_hold, on_ask):
        response.enable(text)
    response.bench.move(Edge.QUARANTINE, cameras[0])  # a person's word
    for _ in range(5):
        response.settle()
    steps = response.steps()
    assert {s.playbook for s in steps} == {"ask-whoever-is-held"} and len(steps) == 2
    assert response.states().count("quarantined") == 1


def test_n152_what_an_action_leads_to_runs_it_again_no_sooner_than_its_cooldown(response):
    camera = response.cameras(3)[0]
    when = f'event = ["evidence-refused"]\nreason = ["{Reason.EXTRA_DATA}"]'
    response.enable(playbook_toml("look", do=("attest-now",), when=when, cooldown="10m"))
    refused = EvidenceRefused(device=camera, reasons=(Reason.SIGNATURE, Reason.EXTRA_DATA))
    for _ in range(5):
        response.event(refused)
        response.settle()
    assert len(response.entries("attest-now")) == 1
    response.clock.now += 600_000
    response.event(EvidenceRefused(device=camera, reasons=(Reason.SIGNATURE,)))
    response.event(refused)
    response.settle()
    assert len(response.entries("attest-now")) == 2


@pytest.mark.parametrize("text", ["playbook-step", "playbook-enabled", "playbook-notice"])
def test_n152_no_playbook_waits_for_events_of_playbooks(text):
    from framegate.errors import Malformed
    from framegate.playbooks.parse import parse_playbook

    with pytest.raises(Malformed) as caught:
        parse_playbook(playbook_toml(when=f'event = ["{text}"]'))
    assert caught.value.reason == Reason.PLAYBOOK


def test_n152_the_last_camera_of_a_line_is_a_persons_decision(response):
    (only,) = response.cameras(1)
    response.enable(HOLD)
    response.contradict(only)
    response.settle()
    assert response.states() == ["suspect"]
    (told,) = response.entries("playbook-held-back")
    assert told["members"]["why"] == "the last camera of line-1"
    assert not response.requests() and {s.state for s in response.steps()} == {StepState.NEVER}


def test_n152_the_last_camera_is_known_before_the_others_are_held(response):
    """Two entries read in one look: the first camera's step waits while the second's is planned."""
    cameras = response.cameras(2)
    response.enable(playbook_toml(devices=20))
    response.contradict(*cameras)
    response.settle()
    assert sorted(response.states()) == ["quarantined", "suspect"]
    assert len(response.entries("playbook-held-back")) == 1 and not response.steps("refused")
    assert len(response.steps(StepState.NEVER)) == 1


def test_n152_the_last_trusted_camera_is_not_held_for_what_is_no_contradiction(response):
    one, two = response.cameras(2)
    response.contradict(two)
    response.enable(playbook_toml(when='event = ["attest-now"]'))
    response.event(EvidenceAsked(device=one, why="r"), by="operator.vera")
    response.settle()
    assert response.bench.state(one) == State.TRUSTED


def test_n152_what_became_the_last_camera_meanwhile_is_not_held(response):
    one, two = response.cameras(2)
    response.enable(playbook_toml(mode="ask"))
    response.contradict(one)
    response.settle()
    response.bench.move(Edge.QUARANTINE, two)
    response.decide()
    response.settle()
    assert response.bench.state(one) == State.SUSPECT
    (refused,) = response.entries("playbook-step-refused")
    assert refused["members"]["reason"] == "denied-by-policy"


DISABLE = {"do": ("disable-operator",), "when": 'event = ["factor-failed"]\nby = "actor"'}


def test_n152_nobody_who_would_have_to_undo_it_is_shut_out(response):
    response.enable(playbook_toml("lock", **DISABLE))
    failed = FactorFailed(source="192.0.2.7")
    response.event(BreakGlassUsed(source="192.0.2.7"), by="operator.vera")
    for name in ("anna", "sven", "vera"):
        response.event(failed, by=f"operator.{name}")
    response.settle()
    with response.store.reading() as tx:
        assert all(p.enabled for p in tx.people.all())
    why = [e["members"]["why"] for e in response.entries("playbook-held-back")]
    assert why == ["anna is an approver", "sven is an approver", "vera broke the glass"]
    response.clock.now += 2 * 3_600_000
    response.event(failed, by="operator.vera")
    response.settle()
    with response.store.reading() as tx:
        assert not tx.people.find("vera").enabled


def test_n152_a_playbook_whose_people_left_does_nothing(response):
    cameras = response.cameras(3)
    response.enable(HOLD)
    with response.store.writing() as tx:
        tx.people.put(replace(tx.people.find("sven"), enabled=False))
    response.contradict(cameras[0])
    response.settle()
    assert "quarantined" not in response.states()
    denied = response.entries("denied")
    assert {e["actor"] for e in denied} == {"playbook.hold-contradicted"}
    assert {e["members"]["reason"] for e in denied} == {"approval-needed"}
    assert not response.requests()


def test_n152_the_access_policy_has_the_last_word_zone_by_zone(response):
    from framegate.access.policy import default_files
    from framegate_controller.people.policies import apply_policy

    forbid = (
        '@id("not-on-line-2") forbid (principal is Playbook, '
        'action == Action::"device.quarantine", resource == Zone::"line-2");'
    )
    one, two = response.cameras(2, "line-1"), response.cameras(2, "line-2")
    with response.store.writing() as tx:
        files = {**default_files(), "site.cedar": forbid}
        apply_policy(tx, response.fleet.keys, files, base=1, note="")
    response.enable(HOLD)
    response.contradict(one[0], two[0])
    response.settle()
    assert response.bench.state(one[0]) == "quarantined"
    assert response.bench.state(two[0]) == "suspect"
    held = next(e for e in response.entries("quarantine"))
    assert held["actor"] == "playbook.hold-contradicted" and held["approved_by"] == ["anna", "sven"]
    assert held["policies"] == ["playbooks-respond"]


def test_n152_a_playbook_that_was_edited_in_the_store_does_nothing(response):
    cameras = response.cameras(3)
    response.enable(HOLD)
    other = response.enable(playbook_toml("other", when='event = ["late"]'))
    response.bench.sql(
        "UPDATE playbooks SET envelope = ? WHERE name = 'hold-contradicted'", other.envelope
    )
    response.again()
    response.contradict(cameras[0])
    response.settle()
    assert "quarantined" not in response.states() and not response.steps()


def test_n152_a_revision_that_was_replaced_or_stopped_asks_for_nothing(response):
    """However long its steps were planned before: the newest of its name alone acts."""
    first = response.enable(HOLD)
    keys = response.fleet.keys

    def asks(revision: int) -> bool:
        acting = ActingPlaybook("hold-contradicted", revision)
        with response.store.reading() as tx:
            try:
                return playbook_caller(tx, acting, keys).name == "hold-contradicted"
            except Refused as error:
                assert error.reason == Reason.PLAYBOOK
                return False

    assert asks(first.revision)
    second = response.enable(HOLD)
    assert asks(second.revision) and not asks(first.revision)
    ended = response.disable()
    assert not asks(ended.revision) and not asks(second.revision)


def test_n152_who_became_one_that_is_spared_meanwhile_is_spared(response):
    """Between the plan, or a person's yes, and its being done."""
    response.enable(playbook_toml("lock", mode="ask", **DISABLE))
    response.event(FactorFailed(source="192.0.2.7"), by="operator.vera")
    response.settle()
    signed_in(response.store, response.fleet.keys, "vera")
    with response.store.writing() as tx:
        (session,) = tx.people.sessions(tx.now_ms, "vera")
        tx.people.put_session(replace(session, break_glass="00000000"))
    response.decide()
    response.settle()
    with response.store.reading() as tx:
        assert tx.people.find("vera").enabled
    (refused,) = response.entries("playbook-step-refused")
    assert refused["members"]["reason"] == "denied-by-policy"


def test_n152_a_yes_of_somebody_who_counts_no_more_is_none(response):
    one = response.cameras(3)[0]
    response.enable(playbook_toml(mode="ask"))
    response.contradict(one)
    response.settle()
    response.decide()
    with response.store.writing() as tx:
        tx.people.put(replace(tx.people.find("sven"), enabled=False))
    response.settle()
    assert response.bench.state(one) == State.SUSPECT
    assert not response.entries("playbook-step-done")
    assert response.steps(StepState.ASKED), "it waits for somebody else"
