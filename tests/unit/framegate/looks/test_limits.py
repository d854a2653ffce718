"""Limits of second looks: what a part may be given."""

import math

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import Limit, loosened, parse_limits, suspicions
from support.looks import limit, row


def test_every_look_has_its_kind_and_a_reason_of_its_own_or_its_likes():
    assert set(KINDS) == set(Look)
    reasons = [KINDS[look].reason for look in Look]
    assert len(set(reasons)) == len(reasons) - 2  # two ways to copy and to replay
    assert all(limit(look).limit == KINDS[look].extreme for look in Look)


def test_sound_rows_come_back_as_they_were():
    rows = [row(look) for look in Look]
    assert [one.row() for one in parse_limits(rows)] == rows
    assert parse_limits([]) == ()


@pytest.mark.parametrize(
    "rows",
    [
        [{}],
        [row(more=1)],
        [row(look="glance")],
        [row(look=["residual"])],
        [row(limit="30")],
        [row(limit=True)],
        [row(limit=math.nan)],
        [row(limit=math.inf)],
        [row(limit=-2.0)],
        [row(share="all")],
        [row(share=math.nan)],
        [row(share=0.5)],
        [row(share=0.0)],
        [row(Look.ASKED_AGAIN, share=0.01)],
        [row(Look.ASKED_AGAIN, share=1.5)],
        [row(frames=199)],
        [row(frames=2001)],
        [row(frames=240.0)],
        [row(frames=True)],
        [row(centre=math.nan)],
        [row(centre="x")],
        [row(spread=-0.1)],
        [row(spread=math.inf)],
        [row(), row()],
    ],
)
def test_what_is_no_limit_is_refused(rows):
    with pytest.raises((Malformed, Refused)) as caught:
        parse_limits(rows)
    assert caught.value.reason == Reason.PART


@pytest.mark.parametrize("look", list(Look))
def test_each_look_is_held_to_its_own_side(look):
    turn = 1 if KINDS[look].is_most else -1
    own = Limit(look, 0.5, 1.0, 240, 0.4, 0.1)
    past = suspicions([own], {look: 0.5 + 0.01 * turn})
    assert [one.reason for one in past] == [KINDS[look].reason]
    assert "0.5" in past[0].words and past[0].error().reason == KINDS[look].reason
    assert suspicions([own], {look: 0.5}) == ()
    assert suspicions([own], {look: 0.5 - 0.01 * turn}) == ()


def test_looks_are_never_pooled():
    """One far past its limit is one suspicion, however good the others are."""
    limits = [Limit(look, 0.5, 1.0, 240, 0.4, 0.1) for look in Look]
    calm = {look: 0.4 if KINDS[look].is_most else 0.6 for look in Look}
    assert suspicions(limits, calm) == ()
    for look in Look:
        (only,) = suspicions(limits, calm | {look: 1.0 if KINDS[look].is_most else 0.0})
        assert only.look == look


def test_what_was_not_measured_is_no_suspicion_and_what_has_no_limit_neither():
    assert suspicions([limit(Look.RESIDUAL)], {}) == ()
    assert suspicions([], {Look.RESIDUAL: 255.0}) == ()


def test_what_grows_weaker_is_said():
    before = parse_limits([row(limit=20.0), row(Look.CONTRAST, limit=0.9), row(Look.ASKED_AGAIN)])
    assert loosened(before, before) == ()
    after = parse_limits([row(limit=30.0), row(Look.CONTRAST, limit=0.7)])
    assert loosened(before, after) == (
        "residual looser: 20 to 30",
        "contrast looser: 0.9 to 0.7",
        "asked-again goes",
    )
    fewer = parse_limits([*[one.row() for one in before[:2]], row(Look.ASKED_AGAIN, share=0.1)])
    assert loosened(before, fewer) == ("asked-again of fewer frames: 1 to 0.1",)
    tighter = parse_limits([row(limit=10.0), row(Look.CONTRAST, limit=0.95), row(Look.ASKED_AGAIN)])
    assert loosened(before, tighter) == ()
