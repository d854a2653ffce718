"""N29: words that could steer a terminal, a path, a spreadsheet or an access list."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate.identity.names import parse_name
from framegate.record.entry import entry_bytes
from framegate_line.triggers import parse_trigger
from framegate_operator.audit_rows import as_csv
from framegate_operator.broker import mosquitto_acl


def test_n29_nothing_in_a_spreadsheet_is_a_formula_or_steers_a_terminal():
    rows = [
        {
            "index": 1,
            "actor": "=cmd|' /C calc'!A0",
            "reason": "+1",
            "detail": "@x\x1b[2J\r\n",
            "device": "-2",
            "policies": ["a", "=b"],
            "verb": "\t=1",
        }
    ]
    text = as_csv(rows)
    for row in list(csv.reader(io.StringIO(text)))[1:]:
        assert all(not c.startswith(("=", "+", "-", "@", "\t", "\r")) for c in row)
    assert "\x1b" not in text and "\\x1b" in text


@given(st.text(max_size=60), st.lists(st.text(max_size=10), max_size=3))
def test_n29_spreadsheets_of_anything(text, items):
    for row in list(
        csv.reader(io.StringIO(as_csv([{"detail": text, "policies": items}]), newline=""))
    )[1:]:
        assert len(row) == 13 and all(
            c[:1] not in {"=", "+", "-", "@", "\t", "\r"} and c.isprintable() for c in row
        )


@given(st.text(max_size=200))
def test_n29_an_entry_is_one_line_whatever_is_in_it(text):
    raw = entry_bytes(
        0,
        None,
        {"kind": "event", "at_ms": 1, "event": "x", "actor": text, "detail": text, "reason": text},
    )
    assert b"\n" not in raw and raw.isascii() and json.loads(raw).get("detail", "") == text


@pytest.mark.parametrize(
    "raw",
    [
        b'{"part":"","part_type":"t","trigger_sequence":1}',
        b'{"part":"p","part_type":"t","trigger_sequence":-1}',
        b'{"part":"p","part_type":"t","trigger_sequence":true}',
        b'{"part":"p\\u001b[2J","part_type":"t","trigger_sequence":1}',
        b'{"part":"p","part_type":"t","trigger_sequence":1,"x":1}',
        b"[]",
        b"{}",
        b"\xff",
    ],
)
def test_n29_triggers_that_are_refused(raw):
    with pytest.raises(Malformed):
        parse_trigger(raw)


@pytest.mark.parametrize(
    "bad",
    [(["camera.line-1.cam1\nuser x"], []), (["camera.line-1.+"], []), ([], ["press 7\ntopic #"])],
)
def test_n29_names_that_would_break_the_access_list(bad):
    with pytest.raises(FramegateError):
        mosquitto_acl(*bad)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a b", "a\x1b[31m", "a\n", "é", "a" * 64, "../x"]
)
def test_n29_names_that_could_steer_a_terminal_or_a_path(name):
    with pytest.raises(Malformed):
        parse_name(name)
