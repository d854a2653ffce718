"""Which way is taken, and its threshold: by whom each picture was judged."""

from types import SimpleNamespace

import numpy as np
import pytest

from framegate_models import choosing as module
from framegate_models.choosing import TENTHS, Choosing, Inputs
from framegate_models.comparing import Told
from framegate_models.descriptions import Looking
from framegate_models.sound_pictures import Sound
from framegate_models.strangeness import Way, units_of
from framegate_models.surface import Surface, Units
from framegate_models.trials import USUAL, Trial

WAY = Way(True, True)
RATE = 0.05


def pictures(parts: list[str]) -> list[Sound]:
    blank = np.zeros((8, 8, 3), np.uint8)
    return [Sound(f"{n}.png", part, "", blank) for n, part in enumerate(parts)]


def told(shift: float, seed: int = 1) -> Told:
    """What a way says that finds damage `shift` further off than sound pictures are."""
    rng = np.random.default_rng(seed)
    sound, damaged = rng.normal(0, 1, 300), rng.normal(1.5, 1, 300) + shift
    return Told(np.arange(300) % 150, sound, damaged)


WAYS = [Way(evened, nearest) for evened in (False, True) for nearest in (False, True)]


@pytest.mark.parametrize("way", [way for way in WAYS if way != USUAL])
@pytest.mark.parametrize(("shift", "clearly"), [(0.1, False), (-2.0, False), (2.0, True)])
def test_another_way_is_taken_where_it_finds_clearly_more(monkeypatch, way, shift, clearly):
    rng = np.random.default_rng(5)
    shifts = dict.fromkeys(WAYS, -0.5) | {USUAL: 0.0, way: shift}

    def trials(_self, looked):
        units = units_of(USUAL, [rng.normal(0, 1, (20, 3))], RATE)
        rows = []
        for one in WAYS:
            if one.evened == looked.evened:
                said = told(shifts[one], 1 if one == USUAL else 2)
                row = (rng.normal(0, 1, (20, 3)),) * 2
                rows.append(Trial(one, *row, units, said, 0.9, said.found(RATE), 0.5))
        return rows

    learnt = []

    def surfaces(_self, ways, looked, *_):
        learnt.append((*ways, looked.evened))
        return [Surface(None, (), (), None)]

    def looked(_self, given, evened):
        describer = SimpleNamespace(model=b"")
        return SimpleNamespace(evened=evened, given=given, descriptions=None, describer=describer)

    monkeypatch.setattr(module, "_drawn", lambda *_: [])
    monkeypatch.setattr(Choosing, "_looked", looked)
    monkeypatch.setattr(Choosing, "_trials", trials)
    monkeypatch.setattr(Choosing, "_surfaces", surfaces)
    monkeypatch.setattr(Choosing, "_units", lambda *_: Units())
    tried = Choosing({}, pictures(["1", "2"]), RATE, Looking(7, 1, 0.0, lambda *_: None))
    chosen = tried.best(Inputs("as taken", "evened"))
    taken = way if clearly else USUAL
    assert chosen.trial.way == taken and chosen.given == ("evened" if taken.evened else "as taken")
    assert learnt == [(taken, taken.evened)], "learned of the input that it was tried on"
    words = " ".join(chosen.words)
    assert (
        "clearly more than what is usual" if clearly else "no other way finds clearly more"
    ) in words
    assert words.count("(chosen)") == words.count("(usual)") == 1
    rows = {row["way"]: row for row in chosen.as_rows()}
    assert len(rows) == 4 and rows[str(taken)]["chosen"]
    assert (rows[str(way)]["more_than_usual"] >= 0.975) is clearly


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("count", [18, 60])
def test_each_picture_is_judged_by_other_parts_and_counts_twice(monkeypatch, count, each):
    learned = pictures([str(n // each) for n in range(count)])
    rng, asked, others = np.random.default_rng(count), [], []
    again = rng.normal(0, 1, (2, count, 3))

    def judges(_self, ways, _looked, mask, _number):
        assert ways == [WAY]
        others.append(mask)
        return [None]

    monkeypatch.setattr(module, "_drawn", lambda *_: [])
    monkeypatch.setattr(Choosing, "_judges", judges)
    monkeypatch.setattr(Choosing, "_as_sent", lambda _self, _looked, number: (number, 1))
    looked = SimpleNamespace(descriptions=SimpleNamespace(shown=lambda number: (number, 0)))

    def numbers(_judge, shown):
        number, kind = shown
        asked.append(shown)
        own = {n for n, one in enumerate(learned) if one.part == learned[number].part}
        assert not any(others[-1][n] for n in own), "learned from what it judges"
        return again[kind][number]

    monkeypatch.setattr(module, "_numbers", numbers)
    files, sent = rng.normal(0, 1, (2, count, 3))
    before = units_of(WAY, [files, sent], RATE)
    trial = Trial(WAY, files, sent, before, told(0.0), 0.9, 0.5, 0.5)
    tried = Choosing({}, learned, RATE, Looking(7, 1, 0.0, lambda *_: None))
    units = tried._units(trial, looked)
    assert sorted(asked) == [(n, kind) for n in range(count) for kind in (0, 1)]
    assert len(others) == TENTHS
    judged = [np.concatenate([files, again[0]]), np.concatenate([sent, again[1]])]
    assert units == units_of(WAY, judged, RATE, 2) != before
