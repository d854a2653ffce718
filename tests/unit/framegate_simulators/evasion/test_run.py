"""What an attack on the model leaves behind."""

import json
from collections import Counter

import pytest

from framegate.errors import Reason
from framegate.looks.commission import propose
from framegate_simulators.evasion.bars import missed, table
from framegate_simulators.evasion.campaign import FalseAlarms, Outcome, Row
from framegate_simulators.evasion.product import Seen
from framegate_simulators.evasion.run import as_json
from support.looks import sound_rows

PROPOSAL = propose(sound_rows())


def outcome(*rows: Row, withheld: int = 0) -> Outcome:
    by = Counter({Reason.GOLDEN_COPY.value: withheld})
    alarms = FalseAlarms(100, withheld, 0, by)
    return Outcome("drawn, grey camera", PROPOSAL, alarms, Row("honest defects"), rows)


def fell(attack: str, caught: int, of: int) -> Row:
    row = Row(attack)
    for number in range(of):
        reasons = (Reason.RESIDUAL_UNEXPLAINED, Reason.HIGH_FREQUENCY) if number < caught else ()
        row.count(Seen(0, reasons), fell=True)
    return row


def test_the_numbers_of_all_parts_are_written():
    row = fell("PGD 32, one defect", 2, 3)
    row.count(Seen(1), fell=False)
    first, second = json.loads(as_json(7, [outcome(row, withheld=1), outcome()]))["parts"]
    assert first["attacks"][1] == {
        "attack": "PGD 32, one defect",
        "tried": 4,
        "fell": 3,
        "caught": 2,
        "by": {"residual-unexplained": 2, "high-frequency": 2},
    }
    assert first["false_alarms"]["by"] == {"golden-copy": 1} and first["limits"]
    assert [one["attack"] for one in second["attacks"]] == ["honest defects"]


@pytest.mark.parametrize(("caught", "met"), [(20, True), (19, True), (18, False), (0, False)])
def test_a_bar_that_is_missed_is_called_so(caught, met):
    one = outcome(fell("PGD 32, one defect", caught, 20))
    assert missed(one) == ([] if met else ["drawn, grey camera: PGD 32, one defect"])
    (line,) = [text for text in table(one) if text.strip().startswith("PGD 32")]
    assert ("MISSED 95 %" in line) != met and len(line) <= 100


@pytest.mark.parametrize("withheld", [2, 3, 100])
def test_too_many_false_alarms_are_a_bar_that_is_missed(withheld):
    assert missed(outcome(withheld=withheld)) == ["drawn, grey camera: false alarms"]
