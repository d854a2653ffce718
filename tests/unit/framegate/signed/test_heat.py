"""The grid of heat that a defect bears in a verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.signed.heat import MAX_CELLS, heat_shades, heat_values, is_heat
from framegate_gateway.inference.heat_grid import heat_rows, heated, lay_heat

ROW = "0" * MAX_CELLS
BAD = {
    "no list": "0123",
    "no rows": [],
    "an empty row": [""],
    "too many rows": ["0"] * (MAX_CELLS + 1),
    "too long a row": [ROW + "0"],
    "rows of two lengths": ["00", "0"],
    "other letters": ["0g"],
    "a terminal's commands": ["\x1b["],
    "numbers": [[0, 1]],
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_grid_is_shown_as_none(case):
    assert not is_heat(BAD[case])
    assert heat_values({"heat": BAD[case]}) == [] and heat_shades({"heat": BAD[case]}) == []


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=8))
def test_anything_is_a_grid_or_none(value):
    assert is_heat(value) or not heat_values({"heat": value})


def test_a_grid_reads_as_numbers_and_shades():
    assert heat_values({"heat": ["0f", "7f"]}) == [[0.0, 1.0], [7 / 15, 1.0]]
    assert heat_shades({"heat": ["0f"]}) == ["  @@"]
    assert heat_values({}) == []


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_a_map_becomes_a_grid_whose_hottest_cell_is_kept(high, wide, data):
    heat = np.zeros((high, wide), np.float32)
    y, x = data.draw(st.integers(0, high - 1)), data.draw(st.integers(0, wide - 1))
    heat[y, x] = 1.0
    rows = heat_rows(heat, (0, 0, 4 * wide, 3 * high), (3 * high, 4 * wide))
    assert is_heat(rows) and "".join(rows).count("f") == 1
    elsewhere = heat_rows(heat, (0, 0, 0, 0), (3 * high, 4 * wide))
    assert is_heat(elsewhere)


def test_heat_is_laid_over_its_box_alone():
    picture = np.full((40, 60, 3), 100, np.uint8)
    lay_heat(picture, [{"box": [10, 5, 30, 25], "heat": ["f"]}, {"box": [40, 5, 50, 20]}])
    changed = (picture != 100).any(axis=2)
    assert changed[5:25, 10:30].all() and changed.sum() == 20 * 20
    assert heated(picture, np.zeros((1, 1), np.float32)).shape == picture.shape
