"""Signed parts."""

from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate.signed.part import check_part, verify_part
from support.boards import sealed_part, statement


@pytest.mark.parametrize(
    "change",
    [
        {"part_type": ""},
        {"part_type": "../x"},
        {"part_type": "a\nb"},
        {"part_type": "x" * 129},
        {"version": 0},
        {"goldens": ()},
        {"goldens": ("zz",)},
        {"goldens": ("ab" * 32,) * 9},
        {"thresholds": ({"kind": "open"},)},
        {"thresholds": ({"kind": "open", "at_least": 1.0},)},
        {"thresholds": ({"kind": "o", "at_least": True},)},
        {"min_size_px": -1.0},
        {"ignore": ({"points": [[0, 0]]},)},
    ],
)
def test_parts_out_of_range(change):
    with pytest.raises(FramegateError):
        check_part(statement(**change))


def test_parts_that_nobody_of_this_fleet_signed_or_that_are_old(keys):
    now, root = datetime.now(UTC), keys.root.certificate
    assert verify_part(sealed_part(keys, statement()), root, now) == statement()
    with pytest.raises(FramegateError):
        verify_part(sealed_part(keys, statement(), "mask"), root, now)
    with pytest.raises(Refused) as caught:
        verify_part(
            sealed_part(keys, statement()), root, now, known={"board-7": statement(version=2)}
        )
    assert caught.value.reason == Reason.PART
