"""The controller's word on a zone's stage."""

from datetime import UTC, datetime

import pytest

from framegate.errors import Reason
from framegate.identity.certificates import from_ms
from framegate.pilot.policy import FILE, Stage
from framegate.pilot.word import verify_stage_word
from framegate_controller.people.policies import apply_policy
from framegate_controller.people.stages import SAID_EVERY_MS, StageTurn, stage_word
from framegate_controller.store.shared.policies import InMemoryPolicies
from support.access import policy_files
from support.refusals import refused

DAY_MS = 86_400_000


def put(bench, text, base):
    with bench.store.writing() as tx:
        apply_policy(tx, bench.keys, {**policy_files(), FILE: text}, base=base, note="")


def text(until_ms, stage="observe", life="10m"):
    until = datetime.fromtimestamp(until_ms // 1000, UTC)
    return f'[line-1]\nstage = "{stage}"\nuntil = {until:%FT%TZ}\nlife = "{life}"\n'


def said(bench, zone="line-1"):
    with bench.store.reading() as tx:
        envelope, now = stage_word(tx, bench.fleet, InMemoryPolicies(), zone), tx.now_ms
    keys = bench.keys
    return verify_stage_word(
        envelope, zone, keys.intermediates, keys.root.certificate, from_ms(now)
    ), now


def test_a_zone_without_a_pilot_is_said_to_be_enforced(bench):
    word, _ = said(bench)
    assert (word.stage, word.version) == (Stage.ENFORCE, 1)


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_a_pilots_word_names_the_policy_and_lives_as_long_as_that_says(bench, stage):
    put(bench, text(bench.clock() + DAY_MS, stage, "5m"), 1)
    word, now = said(bench)
    assert (word.stage, word.version) == (stage, 2) and word.policy.startswith("access-policy 2")
    assert word.valid_until_ms == now + 300_000
    assert said(bench, "line-2")[0].stage == Stage.ENFORCE


def test_no_word_outlives_its_pilot(bench):
    put(bench, text(bench.clock() + DAY_MS), 1)
    bench.clock.now += DAY_MS - 30_000
    word, now = said(bench)
    assert word.stage == "observe" and word.valid_until_ms <= now + 30_000
    bench.clock.now += 31_000
    assert said(bench)[0].stage == Stage.ENFORCE


def test_where_the_policy_does_not_hold_nothing_is_said(bench):
    with bench.store.reading() as tx:

        class Cut:
            now_ms = tx.now_ms

            class policies:
                current = staticmethod(lambda: None)

        assert stage_word(Cut, bench.fleet, InMemoryPolicies(), "line-1") == b""


def test_who_asks_for_a_pilot_without_an_end_in_sight_is_refused(bench):
    from framegate_controller.verbs.policy import ApplyPolicy

    files = {**policy_files(), FILE: text(bench.clock() + 91 * DAY_MS)}

    class Asked:
        fleet = bench.fleet

    with bench.store.writing() as tx:
        asked = ApplyPolicy(files, bytes(32), 1, "")
        assert refused(lambda: asked.run(tx, Asked)) == Reason.PILOT


def test_it_is_said_first_when_it_may_have_changed_and_again():
    turn = StageTurn()
    assert turn.due(1_000) and not turn.due(1_001)
    assert turn.due(1_002, changed=True) and not turn.due(1_002 + SAID_EVERY_MS - 1)
    assert turn.due(1_002 + SAID_EVERY_MS)
    assert turn.due(5)  # a clock that was set back is no reason to wait
