"""Signed parts."""

from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.signed.part import PartStatement, check_part, verify_part
from support.boards import sealed_part, statement
from support.looks import row


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


def test_a_part_without_looks_is_written_as_parts_were_before():
    before, after = statement(), statement(looks=(row(),))
    assert b"looks" not in before.payload() and b"looks" in after.payload()
    for part in (before, after):
        assert PartStatement.parse_payload(part.payload()) == part
        check_part(part)
    empty = before.payload()[:-1] + b',"looks":[]}'
    with pytest.raises(Malformed):
        PartStatement.parse_payload(empty)  # one encoding a value


@pytest.mark.parametrize("looks", [({},), (row(limit=90.0),), (row(), row()), (row(frames=10),)])
def test_a_part_whose_looks_are_no_limits_is_refused(looks):
    with pytest.raises((Malformed, Refused)):
        check_part(statement(looks=looks))
