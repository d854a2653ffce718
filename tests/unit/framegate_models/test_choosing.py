"""The threshold of a way that was chosen: by whom each picture was judged."""

import numpy as np
import pytest

from framegate_models import choosing as module
from framegate_models.choosing import TENTHS, Choosing, Trial
from framegate_models.descriptions import Looking
from framegate_models.sound_pictures import Sound
from framegate_models.strangeness import Way, units_of

WAY = Way(True, True)
RATE = 0.05


def pictures(parts: list[str]) -> list[Sound]:
    blank = np.zeros((8, 8, 3), np.uint8)
    return [Sound(f"{n}.png", part, "", blank) for n, part in enumerate(parts)]


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("count", [18, 60])
def test_each_picture_is_judged_by_other_parts_and_counts_twice(monkeypatch, count, each):
    learned = pictures([str(n // each) for n in range(count)])
    rng, asked, others = np.random.default_rng(count), [], []
    again = rng.normal(0, 1, (count, 3))

    def judges(_self, ways, _looked, mask, _number):
        assert ways == [WAY]
        others.append(mask)
        return [None]

    monkeypatch.setattr(module, "_drawn", lambda *_: [])
    monkeypatch.setattr(Choosing, "_judges", judges)
    monkeypatch.setattr(Choosing, "_as_sent", lambda _self, _looked, number: number)

    def numbers(_judge, number):
        asked.append(number)
        own = {n for n, one in enumerate(learned) if one.part == learned[number].part}
        assert not any(others[-1][n] for n in own), "learned from what it judges"
        return again[number]

    monkeypatch.setattr(module, "_numbers", numbers)
    sent = rng.normal(0, 1, (count, 3))
    before = units_of(WAY, sent, RATE)
    trial = Trial(WAY, sent, sent, before, 0.9, 0.5, 0.5, 1)
    tried = Choosing({}, learned, RATE, Looking(7, 1, 0.0, lambda *_: None))
    units = tried._units(trial, None)
    assert sorted(asked) == list(range(count)) and len(others) == TENTHS
    assert units == units_of(WAY, np.concatenate([sent, again]), RATE, 2) != before
