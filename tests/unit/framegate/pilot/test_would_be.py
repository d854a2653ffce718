"""What enforcing would have done: as lines write it, and added up."""

import pytest

from framegate.errors import Reason
from framegate.findings.kinds import FindingKind
from framegate.pilot.policy import Stage
from framegate.pilot.would_be import WouldBe, pilot_report, refused_devices
from framegate.signed.statement import Outcome
from support.refusals import refused

CAM1, CAM2 = "camera.line-1.cam1", "camera.line-1.cam2"
DEFECT = WouldBe(Stage.OBSERVE, Outcome.DEFECT, "", CAM1)
LATE = WouldBe(Stage.OBSERVE, Outcome.UNINSPECTED, "timeout", CAM2)
PASSED = WouldBe(Stage.WARN, Outcome.PASS, "", CAM1)


def entry(told, count=1, last_ms=5, **changes):
    members = {
        "reporter": "line.press-7",
        "reason": told.text,
        "count": count,
        "first_ms": 1,
        "last_ms": last_ms,
    }
    return {"event": told.kind.value, "members": {**members, **changes}}


@pytest.mark.parametrize("told", [DEFECT, LATE, PASSED], ids=["defect", "late", "passed"])
def test_what_a_line_writes_is_read_back(told):
    assert WouldBe.parse(told.text) == told


def test_a_part_that_enforcing_would_pass_is_never_counted_with_the_others():
    assert PASSED.kind is FindingKind.PILOT_PASSED
    assert DEFECT.kind is FindingKind.PILOT_OBSERVED
    warned = WouldBe(Stage.WARN, Outcome.DEFECT, "", CAM1)
    assert warned.kind is FindingKind.PILOT_WARNED


@pytest.mark.parametrize(
    "text",
    ["", "enforce DEFECT - " + CAM1, "observe GOOD - " + CAM1, f"observe DEFECT  {CAM1}", "x" * 99],
)
def test_what_no_line_writes_is_refused(text):
    assert refused(lambda: WouldBe.parse(text)) == Reason.PILOT


def test_parts_are_added_up_by_line_camera_and_reason():
    entries = [entry(DEFECT, 3), entry(DEFECT, 2, 9), entry(LATE), entry(PASSED, 40)]
    report = pilot_report("line-1", entries)
    assert (report.parts, report.diverted, report.cameras) == (46, 6, (CAM1, CAM2))
    first, second, third = report.rows
    assert (first.told, first.count) == (PASSED, 40)
    assert (second.told, second.count, second.last_ms, second.line) == (DEFECT, 5, 9, "press-7")
    assert third.told == LATE


def test_what_is_no_lines_word_or_of_another_zone_is_left_out():
    elsewhere = WouldBe(Stage.OBSERVE, Outcome.DEFECT, "", "camera.line-2.cam1")
    strange = [
        entry(elsewhere),
        entry(DEFECT, reason="observe DEFECT"),
        entry(DEFECT, count="many"),
        {"event": "pilot-observed"},
        {"event": "login", "members": {}},
    ]
    assert pilot_report("line-1", strange).rows == ()


def test_machines_that_are_refused_in_every_stage_are_listed_by_reason():
    def told(device, *reasons, at_ms=1, event="evidence-refused"):
        members = {"reasons": list(reasons)}
        return {"event": event, "device": device, "at_ms": at_ms, "members": members}

    entries = [
        told(CAM1, "event-absent", "event-absent"),
        told(CAM1, "event-absent", at_ms=7),
        told(CAM2, "counters"),
        told("camera.line-2.cam1", "counters"),
        told(CAM1, "counters", event="attested"),
        {"event": "evidence-refused", "members": {}},
    ]
    first, second = refused_devices("line-1", entries)
    assert (first.device, first.reason, first.count, first.last_ms) == (CAM1, "event-absent", 2, 7)
    assert (second.device, second.reason, second.count) == (CAM2, "counters", 1)
