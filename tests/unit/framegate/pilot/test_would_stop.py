"""Stops that enforcing would have asked for: as lines write them, and added up."""

import pytest

from framegate.errors import Reason
from framegate.pilot.policy import Stage
from framegate.pilot.would_stop import WouldStop, would_stops
from support.refusals import refused

STALE = WouldStop(Stage.OBSERVE, "stale", "line-1")
LATE = WouldStop(Stage.WARN, "timeout", "line-1")


def entry(told, count=1, last_ms=5, **changes):
    members = {"reporter": "line.press-7", "reason": told.text, "count": count, "last_ms": last_ms}
    return {"event": "pilot-stop", "members": {**members, **changes}}


@pytest.mark.parametrize("told", [STALE, LATE], ids=["stale", "late"])
def test_what_a_line_writes_is_read_back(told):
    assert WouldStop.parse(told.text) == told


@pytest.mark.parametrize(
    "text",
    ["", "enforce stop stale line-1", "observe DEFECT - x", "observe stop  line-1", "x" * 99],
    ids=["nothing", "enforced", "a-part", "no-reason", "noise"],
)
def test_what_no_line_writes_is_refused(text):
    assert refused(lambda: WouldStop.parse(text)) == Reason.PILOT


def test_stops_are_added_up_by_line_and_reason_and_nothing_else_is():
    elsewhere = WouldStop(Stage.WARN, "stale", "line-2")
    entries = [
        entry(STALE, 2, 9),
        entry(STALE, 1, 7),
        entry(LATE),
        entry(elsewhere),
        entry(STALE, reason="a stranger's word"),
        entry(STALE, count="many"),
        {"event": "pilot-stop"},
        {**entry(STALE, 50), "event": "pilot-warned"},
    ]
    first, second = would_stops("line-1", entries)
    assert (first.line, first.reason, first.count, first.last_ms) == ("press-7", "stale", 3, 9)
    assert (second.reason, second.count) == ("timeout", 1)
