"""A sound model that falls short by chance is asked again; one that is made up is refused."""

from types import SimpleNamespace

import pytest

from framegate.errors import Reason, Refused
from framegate_gateway.inference import known_answers
from framegate_gateway.inference.known_answers import verify_known_answers
from framegate_gateway.inference.steadiness import ROUNDS

KNOWN = [
    *(SimpleNamespace(name=f"bad-{n}", defects=({"kind": "open"},)) for n in range(5)),
    *(SimpleNamespace(name=f"good-{n}", defects=()) for n in range(5)),
]


@pytest.fixture
def asked(monkeypatch):
    """Steady answers in the order in which moved frames are asked; how many were."""

    def stand(answers):
        told, given = [], iter(answers)

        def moved(_inspector, answer):
            told.append(answer.name)
            return next(given)

        monkeypatch.setattr(known_answers, "verify_known", lambda *_: None)
        monkeypatch.setattr(known_answers, "known_moved", moved)
        return told

    return stand


def test_a_steady_model_is_asked_once(asked):
    told = asked([True] * len(KNOWN))
    assert verify_known_answers(None, KNOWN) == len(KNOWN) == len(told)


def test_one_that_falls_short_by_chance_is_asked_again(asked):
    told = asked([False, False] + [True] * (2 * len(KNOWN) - 2))
    assert verify_known_answers(None, KNOWN) == len(KNOWN)
    assert len(told) == 2 * len(KNOWN)


@pytest.mark.parametrize("steady", [0, 3], ids=["never", "in three of five"])
def test_n186_one_that_goes_on_falling_short_is_refused(asked, steady):
    told = asked(([True] * steady + [False] * (5 - steady) + [True] * 5) * ROUNDS)
    with pytest.raises(Refused) as caught:
        verify_known_answers(None, KNOWN)
    assert caught.value.reason == Reason.KNOWN_ANSWER and len(told) == ROUNDS * len(KNOWN)
