"""A verdict in words."""

from types import SimpleNamespace

import pytest

from framegate_operator.verdict_words import verdict_facts


def receipt(*defects):
    fg = {
        "device": "camera.line-1.cam1",
        "outcome": "DEFECT",
        "reason": "",
        "part": "7",
        "part_type": "plate",
        "trigger_sequence": 7,
    }
    claims = {"iat_ms": 1, "model_id": "plates-1", "model_hash": "ab" * 32, "cti": "cd" * 16}
    return SimpleNamespace(
        claims={**claims, "fg": fg}, verdict={"defects": list(defects)}, notes=(), is_gap=False
    )


HOT = {"kind": "anomaly", "score": 0.9, "box": [1, 2, 33, 44]}


def test_heat_stands_under_its_defect_in_a_frame():
    rows = verdict_facts(receipt({**HOT, "heat": ["0f", "f0"]}, HOT))
    lines = [line for name, line in rows if name in {"heat", ""}]
    assert lines == ["+----+", "|  @@|", "|@@  |", "+----+"]


@pytest.mark.parametrize("heat", [None, [], ["\x1b[31m"], "0f"])
def test_what_is_no_heat_is_not_shown(heat):
    rows = verdict_facts(receipt({**HOT, "heat": heat}))
    assert all(name != "heat" for name, _ in rows)
