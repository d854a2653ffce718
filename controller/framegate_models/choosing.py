"""Which way of learning suits a part: each is tried on sound pictures that it did not learn from,
and on such with damage drawn on them. Nobody's defects are looked at. The usual way is taken unless
another finds clearly more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.recipe import PictureInput
from framegate_gateway.inference.session import new_session
from framegate_models.anomaly_accuracy import auroc
from framegate_models.comparing import Told, clearly_better, share_more
from framegate_models.damage import ALL, damaged
from framegate_models.descriptions import (
    Describer,
    Descriptions,
    Looking,
    describe,
    describer_of,
    given_of,
    sent_of,
    variant_of,
)
from framegate_models.pretrained import Weights
from framegate_models.progress import Said
from framegate_models.sound_pictures import Sound, folds_of
from framegate_models.strangeness import (
    SCALES,
    Floats,
    Way,
    learned_surfaces,
    strange_by,
    units_of,
)
from framegate_models.surface import Surface, Units
from framegate_models.surface_graph import NUMBERS, OUTPUTS, judging_graph
from framegate_models.trials import USUAL, Chosen, Trial

FOLDS: Final = 4
"""In turn each quarter of the parts is judged by what was learned from the others."""
TENTHS: Final = 10
"""Once a way is chosen, each tenth of the parts is judged by the others, and both count for the
threshold. Of some hundred pictures the strangest two or three set it, and which of their likes they
were judged without is chance: on one half of the magnetic tiles quarters alone set it so high that
28 of 187 bad ones were DEFECT; with tenths, 64.
"""
DRAWN: Final = 300
"""Pictures with damage by which ways are compared, each beside the same one without: a sound
picture moved, turned and brightened a little, so that a way which does not bear that loses. All
ways see the same ones, so that two are told apart by fewer points than either figure is known to.
What counts is what is found up to the promised rate of false alarms: a line runs at the left end of
the ROC curve, and the area under all of it says mostly what would be found if half were flagged.
"""
DRAWN_STRENGTHS: Final = (0.5, 1.0, 2.0)
"""In turn: where all of it is found or none, it says nothing about which way is better."""
DRAWN_SEED: Final = 1000
"""Added to the plan's: damage to choose by is not damage that known answers are made of."""
SENT_SEED: Final = 2000
"""Added to the plan's, for the light and the loss that each picture is sent with."""


class Inputs(NamedTuple):
    """Of the network: for pictures as they are taken, and for such brought to one contrast."""

    plain: PictureInput
    evened: PictureInput


class _Looked(NamedTuple):
    """Descriptions of the pictures in one of the inputs, and what describes others alike."""

    evened: bool
    given: PictureInput
    descriptions: Descriptions
    describer: Describer


class _Drawn(NamedTuple):
    """A variant of the sound picture number `of`, and the same with damage."""

    of: int
    sound: NDArray[np.uint8]
    damaged: NDArray[np.uint8]


class Choosing:
    """Tries ways on the pictures `learned`, at a `rate` of false alarms that is promised."""

    def __init__(
        self, weights: Weights, learned: Sequence[Sound], rate: float, how: Looking
    ) -> None:
        self._weights, self._learned, self._rate, self._how = weights, learned, rate, how
        named = [one.part for one in learned]
        self._parts = np.unique(named, return_inverse=True)[1].astype(np.int64)
        self._folds, self._tenths = (np.array(folds_of(named, n)) for n in (FOLDS, TENTHS))
        self._drawn = _drawn(learned, how.seed)

    def best(self, inputs: Inputs) -> Chosen:
        """The usual way, or the one that finds most drawn damage at few false alarms of those that
        clearly find more; learned from all pictures.
        """
        looked = [self._looked(given, bool(evened)) for evened, given in enumerate(inputs)]
        trials = [trial for one in looked for trial in self._trials(one)]
        usual = next(one for one in trials if one.way == USUAL)
        surely = tuple(
            share_more(one.told, usual.told, self._rate, self._how.seed) for one in trials
        )
        better = [
            one
            for one, sure in zip(trials, surely, strict=True)
            if clearly_better(one.told, usual.told, self._rate, sure)
        ]
        trial = max(better, key=lambda one: one.near, default=usual)
        taken = looked[trial.way.evened]
        self._how.said("learning", 0.0, str(trial.way))
        surface = self._surfaces([trial.way], taken, taken.descriptions, self._how.seed)[0]
        units = self._units(trial, taken)
        self._how.said("learning", 1.0, "")
        return Chosen(
            taken.describer.model,
            replace(surface, units=units),
            taken.given,
            trial,
            tuple(trials),
            self._rate,
            surely,
        )

    def _looked(self, given: PictureInput, evened: bool) -> _Looked:
        how = self._how
        pictures = [one.picture for one in self._learned]
        describer = describer_of(
            self._weights, SCALES, given, pictures, evened=evened, threads=how.threads
        )
        # half of the time is each one's
        until = how.until if evened else (how.until + time.monotonic()) / 2
        descriptions = describe(
            describer, pictures, replace(how, until=until, said=_half(how.said, evened=evened))
        )
        return _Looked(evened, given, descriptions, describer)

    def _surfaces(
        self, ways: Sequence[Way], looked: _Looked, by: Descriptions, seed: int
    ) -> list[Surface]:
        network = given_of(looked.given, evened=looked.evened)
        return learned_surfaces(ways, by, self._parts, network, np.random.default_rng(seed))

    def _trials(self, looked: _Looked) -> list[Trial]:
        """Each quarter judged by what was learned from the others, sound and damaged."""
        ways = [Way(looked.evened, nearest) for nearest in (False, True)]
        told = _half(self._how.said, evened=looked.evened)
        sound: list[list[Any]] = [[None] * len(self._learned) for _ in ways]
        sent: list[list[Any]] = [[None] * len(self._learned) for _ in ways]
        moved: list[list[Any]] = [[] for _ in ways]
        bad: list[list[Any]] = [[] for _ in ways]
        for fold in range(FOLDS):
            told("trying", fold / FOLDS, f"quarter {fold + 1} by the others")
            judges = self._judges(ways, looked, self._folds != fold, fold)
            for number in np.flatnonzero(self._folds == fold):
                shown = looked.descriptions.shown(int(number))
                for judge, rows in zip(judges, sound, strict=True):
                    rows[number] = _numbers(judge, shown)
                shown = self._as_sent(looked, int(number))
                for judge, rows in zip(judges, sent, strict=True):
                    rows[number] = _numbers(judge, shown)
            for drawn in self._drawn:
                if self._folds[drawn.of] == fold:
                    for picture, sides in ((drawn.sound, moved), (drawn.damaged, bad)):
                        shown = looked.describer.of(picture)
                        for judge, rows in zip(judges, sides, strict=True):
                            rows.append(_numbers(judge, shown))
        told("trying", 1.0, "")
        return [
            self._trial(way, *map(np.array, rows))
            for way, *rows in zip(ways, sound, sent, moved, bad, strict=True)
        ]

    def _as_sent(self, looked: _Looked, number: int) -> list[NDArray[np.float32]]:
        """What describes a sound picture as a camera sends it, in other light."""
        rng = np.random.default_rng([self._how.seed + SENT_SEED, number])
        return looked.describer.of(sent_of(self._learned[number].picture, rng))

    def _judges(
        self, ways: Sequence[Way], looked: _Looked, others: NDArray[np.bool_], number: int
    ) -> list[Any]:
        """By what was learned from the pictures that are `others` (n,), the `number`-th time."""
        chosen = looked.descriptions.of(others[looked.descriptions.pictures])
        surfaces = self._surfaces(ways, looked, chosen, self._how.seed + 1 + number)
        return [new_session(judging_graph(one), self._how.threads) for one in surfaces]

    def _units(self, trial: Trial, looked: _Looked) -> Units:
        """Of the way that was chosen: its pictures judged by quarters and by tenths."""
        files: list[Any] = [None] * len(self._learned)
        sent: list[Any] = [None] * len(self._learned)
        for tenth in range(TENTHS):
            self._how.said(
                "learning", tenth / TENTHS, f"threshold, tenth {tenth + 1} by the others"
            )
            judge = self._judges([trial.way], looked, self._tenths != tenth, FOLDS + tenth)[0]
            for number in np.flatnonzero(self._tenths == tenth):
                files[number] = _numbers(judge, looked.descriptions.shown(int(number)))
                sent[number] = _numbers(judge, self._as_sent(looked, int(number)))
        judged = [np.concatenate(two) for two in ((trial.numbers, files), (trial.sent, sent))]
        return units_of(trial.way, judged, self._rate, 2)

    def _trial(self, way: Way, sound: Floats, sent: Floats, moved: Floats, bad: Floats) -> Trial:
        # what is promised is promised of pictures as they were kept, and as cameras send them: JPEG
        # takes grain away, so that files without its loss are stranger; of parts that lie otherwise
        # than those that were shown it is not
        units = units_of(way, [sound, sent], self._rate)
        good, damage = (strange_by(way, numbers, units) for numbers in (moved, bad))
        # in the order in which `_trials` shows them
        of = [one.of for fold in range(FOLDS) for one in self._drawn if self._folds[one.of] == fold]
        told = Told(np.array(of, np.int64), good.score, damage.score)
        return Trial(
            way,
            sound,
            sent,
            units,
            told,
            auroc(damage.score, good.score),
            told.found(self._rate),
            float((damage.most > 0).mean()),
        )


def _half(said: Said, *, evened: bool) -> Said:
    """Tells of the work on one of two inputs as the first or the second half of all."""
    light = "at one contrast" if evened else "as taken"
    return lambda stage, share, detail: said(
        stage, (evened + share) / 2, ", ".join(filter(None, (light, detail)))
    )


def _numbers(judge: Any, shown: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    feeds = dict(zip(OUTPUTS, shown, strict=True))
    return np.asarray(judge.run([NUMBERS], feeds)[0][0], np.float64)


def _drawn(learned: Sequence[Sound], seed: int) -> list[_Drawn]:
    """`DRAWN` pictures with damage, on each of the sound ones in turn."""
    rng = np.random.default_rng(seed + DRAWN_SEED)
    order = rng.permutation(len(learned))
    rows = []
    for number in range(DRAWN):
        of = int(order[number % len(order)])
        strength = DRAWN_STRENGTHS[number % len(DRAWN_STRENGTHS)]
        sound = variant_of(learned[of].picture, rng)
        rows.append(_Drawn(of, sound, damaged(sound, rng, strength, ALL).picture))
    return rows
