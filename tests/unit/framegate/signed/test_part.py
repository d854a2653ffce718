"""Signed parts."""

import json
from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.signed.part import (
    LaterPart,
    PartStatement,
    check_part,
    later_part,
    verify_part,
)
from support.boards import sealed_body, sealed_part, statement
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


@pytest.mark.parametrize("more", [{"later": 1}, {"later": "", "looks": [row()]}])
def test_n226_a_part_that_says_what_a_later_version_knows_is_told_by_its_name(keys, more):
    now, root = datetime.now(UTC), keys.root.certificate
    data = sealed_body(keys, **more)
    with pytest.raises(Malformed):
        verify_part(data, root, now)
    assert later_part(data, root, now) == LaterPart("board-7", 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": None},
        {"version": 0},
        {"looks": [row(frames=10)]},
        {"later": 1, "part_type": "../x"},
        {"later": 1, "part_type": "x\n"},
        {"later": 1, "part_type": ["board-7"]},
        {"later": 1, "part_type": None},
        {"later": 1, "version": 0},
        {"later": 1, "version": 1.0},
        {"later": 1, "version": True},
        {"later": 1, "version": 2**63},
        {"later": 1, "version": None},
    ],
    ids=repr,
)
def test_n226_a_part_of_this_version_or_of_none_is_no_later_ones(keys, body):
    now, root = datetime.now(UTC), keys.root.certificate
    assert later_part(sealed_body(keys, **body), root, now) is None


def test_n226_a_later_versions_part_is_as_truly_signed_as_any(keys):
    now, root = datetime.now(UTC), keys.root.certificate
    with pytest.raises(FramegateError):
        later_part(sealed_body(keys, "mask", later=1), root, now)
    with pytest.raises(FramegateError):
        later_part(sealed_body(keys, later=1), keys.issuing["device-ca"].certificate, now)
    envelope = json.loads(sealed_body(keys, later=1))
    envelope["payload"] = json.loads(sealed_body(keys, later=2))["payload"]
    with pytest.raises(FramegateError):
        later_part(json.dumps(envelope).encode(), root, now)
