"""Limits out of what sound frames measured."""

import pytest

from framegate.errors import Refused
from framegate.looks.commission import propose
from framegate.looks.fingerprint import BYTES, Fingerprint
from framegate.looks.kinds import KINDS, Look, suspicious
from framegate.looks.limits import parse_limits
from support.looks import CAMERA, sound_rows


def limits_of(proposal):
    return {one.look: one for one in proposal.limits}


def test_sound_frames_give_every_look_a_limit_that_a_part_may_have():
    rows = [one | {Look.CAMERA_FINGERPRINT: 1500.0} for one in sound_rows()]
    proposal = propose(rows, 0.25, {CAMERA: Fingerprint(bytes(BYTES))})
    limits = limits_of(proposal)
    assert set(limits) == set(Look) and proposal.warnings == ()
    assert parse_limits([one.row() for one in proposal.limits]) == proposal.limits
    assert limits[Look.ASKED_AGAIN].share == 0.25 and limits[Look.RESIDUAL].share == 1
    assert all(sum(one.bins) == 240 for one in proposal.distributions)
    for held_out in sound_rows(400, seed=2)[:1]:
        assert not any(suspicious(look, held_out[look], limits[look].limit) for look in held_out)


def test_held_out_frames_seldom_pass_a_limit():
    limits = limits_of(propose(sound_rows()))
    fresh = sound_rows(2000, seed=3)
    for look in fresh[0]:
        past = sum(suspicious(look, one[look], limits[look].limit) for one in fresh)
        assert past <= 20, look


@pytest.mark.parametrize("count", [0, 199, 2001])
def test_too_few_or_too_many_are_refused(count):
    with pytest.raises(Refused):
        propose(sound_rows(count))


def test_a_look_that_sound_frames_pass_has_no_limit_and_is_told():
    rows = [one | {Look.RESIDUAL: one[Look.RESIDUAL] + 80} for one in sound_rows()]
    proposal = propose(rows)
    assert Look.RESIDUAL not in limits_of(proposal)
    assert any("residual: sound frames reach" in said for said in proposal.warnings)


def test_a_part_that_is_poorly_guarded_is_told():
    rows = [one | {Look.RESIDUAL: 4 * one[Look.RESIDUAL]} for one in sound_rows()]
    proposal = propose(rows)
    assert limits_of(proposal)[Look.RESIDUAL].limit > KINDS[Look.RESIDUAL].weak
    assert any("guards poorly" in said for said in proposal.warnings)


def test_a_camera_without_noise_has_no_floor_of_it():
    rows = [one | {Look.NOISE_FLOOR: 0.0} for one in sound_rows()]
    proposal = propose(rows)
    assert Look.NOISE_FLOOR not in limits_of(proposal)
    assert any(said.startswith("noise-floor") for said in proposal.warnings)


def test_what_was_hardly_measured_has_no_limit():
    rows = sound_rows()
    for one in rows[50:]:
        del one[Look.ASKED_AGAIN]
    proposal = propose(rows)
    assert Look.ASKED_AGAIN not in limits_of(proposal)
    assert "asked-again: measured in 50 frames alone; no limit" in proposal.warnings


def test_frames_that_are_all_alike_have_a_limit_of_their_own():
    proposal = propose([dict.fromkeys(sound_rows(1)[0], 1.0)] * 240)
    assert limits_of(proposal)[Look.RESIDUAL].limit == pytest.approx(2.6)


def test_a_look_that_measures_nothing_in_sound_frames_has_slack_all_the_same():
    rows = [one | {Look.COARSE_GRAIN: 0.0} for one in sound_rows()]
    (own,) = (one for one in propose(rows).limits if one.look == Look.COARSE_GRAIN)
    assert own.limit == KINDS[Look.COARSE_GRAIN].slack > 0


@pytest.mark.parametrize("look", list(Look))
def test_slack_is_less_than_what_a_part_is_poorly_guarded_by(look):
    assert 0 <= KINDS[look].slack < abs(KINDS[look].weak)
