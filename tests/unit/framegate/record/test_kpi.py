"""Figures out of the record: defined once, computed twice."""

import importlib.util
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from framegate.record.kpi import measure
from framegate_operator.kpis import as_json
from support.paths import ROOT

SPEC = importlib.util.spec_from_file_location("kpi_check", ROOT / "scripts/kpi_check.py")
CHECK = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CHECK)

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"
NO_TIMES = {"n": 0, "median": None, "p90": None, "max": None, "open": 0, "values": []}


class Record:
    """Entries of a record that is made up."""

    def __init__(self):
        self.rows = []

    def add(self, at, **body):
        row = {"index": len(self.rows), "at_ms": at, "kind": "event", **body}
        self.rows.append(row)
        return row["index"]

    def event(self, at, event, device="", **members):
        moved = {k: members.pop(k) for k in ("from", "to") if k in members}
        return self.add(at, event=event, device=device, members=members, **moved)

    def report(self, at, since, accepted=(), reporter=GATEWAY):
        rows = [{"device": d, "count": 1, "last_ms": last} for d, last in accepted]
        members = {"reporter": reporter, "from_ms": since, "closed_at_ms": at, "accepted": rows}
        return self.add(at, **members | {"kind": "report"})

    def incident(self, at, trigger, about=CAMERA, title="contradicted", *, drill=False):
        members = {
            "about": about,
            "title": title,
            "trigger": trigger,
            "priority": 4,
            "detected_ms": at,
            "drill": drill,
        }
        return self.event(at, "incident-opened", about, **members)

    def both(self, since=0):
        own, other = as_json(measure(self.rows, since)), CHECK.figures(self.rows, since)
        assert own == other
        return own


def test_without_data_there_are_no_figures_and_never_a_zero():
    told = Record().both()
    for kind in ("real", "drills"):
        for name in ("detect", "contain", "acknowledge", "recover"):
            assert told[kind][name] == NO_TIMES
        assert told[kind]["false_alarms"]["rate"] is None
    assert told["coverage"]["rate"] is told["actions_undone"]["rate"] is None
    assert told["approvals"] == told["sink_lag"] == NO_TIMES


def test_a_walk_through_one_incident():
    record = Record()
    record.event(1_000, "attested", CAMERA)
    record.report(50_000, 0, [(CAMERA, 49_000)])
    bad = record.event(61_000, "contradicted", CAMERA, **{"from": "trusted", "to": "suspect"})
    number = record.incident(61_000, bad)
    record.report(70_000, 50_000, [(CAMERA, 61_400)])
    told = record.both()["real"]
    assert told["detect"]["values"] == [60_000], "a bound: since it proved itself last"
    assert told["contain"] == NO_TIMES | {"open": 1}, "nobody has said that it accepts no more"
    assert told["acknowledge"]["open"] == told["recover"]["open"] == 1

    record.report(90_000, 70_000)
    assert record.both()["real"]["contain"]["values"] == [400], "the last frame, not the state"
    record.event(100_000, "incident-noted", CAMERA, incident=number, note="n")
    record.event(110_000, "release", CAMERA, **{"from": "suspect", "to": "stale"})
    record.event(121_000, "proved", CAMERA, **{"from": "stale", "to": "trusted"})
    record.event(
        130_000, "incident-closed", CAMERA, incident=number, verdict="false-positive", note="n"
    )
    told = record.both()
    assert told["real"]["acknowledge"]["values"] == [39_000]
    assert told["real"]["recover"]["values"] == [60_000]
    assert told["real"]["false_alarms"] == {"part": 1, "whole": 1, "rate": 1.0}
    assert told["coverage"] == {"part": 90_000, "whole": 90_000, "rate": 1.0}
    assert told["drills"]["incidents"] == 0


def test_a_machine_of_which_nobody_knows_when_it_was_well_has_no_time_to_detect():
    record = Record()
    record.incident(9, record.event(9, "contradicted", CAMERA, to="suspect"))
    assert record.both()["real"]["detect"] == NO_TIMES


def test_a_frame_accepted_long_after_containment_is_not_hidden():
    record = Record()
    bad = record.event(1_000, "contradicted", CAMERA, **{"from": "trusted", "to": "suspect"})
    record.incident(1_000, bad)
    record.report(60_000, 0, [(CAMERA, 900)])
    record.report(120_000, 60_000)
    record.report(180_000, 120_000, [(CAMERA, 170_000)])  # a gateway that had not heard
    record.report(240_000, 180_000)
    assert record.both()["real"]["contain"]["values"] == [169_000]


def test_who_is_not_heard_any_more_lowers_the_coverage():
    record = Record()
    record.report(60_000, 0)
    record.event(660_000, "attested", CAMERA)
    assert record.both()["coverage"]["rate"] == round(60 / 660, 4)


def test_a_gap_between_two_reports_lowers_the_coverage():
    record = Record()
    record.report(60_000, 0)
    record.report(240_000, 120_000)
    assert record.both()["coverage"]["rate"] == 0.75


def test_five_and_more_have_a_distribution_fewer_their_values():
    record = Record()
    for n in range(10):
        record.event(1_000 * n, "access-asked", request=f"r{n}")
        record.event(1_000 * n + n, "access-approved", request=f"r{n}")
    record.event(99_000, "access-asked", request="open")
    told = record.both()["approvals"]
    assert told == {"n": 10, "median": 4.5, "p90": 8, "max": 9, "open": 1, "values": []}


MOVES = [
    ("quarantine", "trusted", "quarantined"),
    ("release", "quarantined", "stale"),
    ("proved", "stale", "trusted"),
    ("contradicted", "trusted", "suspect"),
    ("late", "trusted", "stale"),
]
STEP = st.tuples(
    st.sampled_from(["move", "attested", "report", "open", "answer", "people", "sink", "finding"]),
    st.integers(0, 9),
    st.integers(0, 120_000),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=40), st.integers(0, 500_000))
@example([("attested", 1, 0), ("open", 1, 0)], 0)
def test_both_ways_come_to_the_same_of_any_record(steps, since):
    record, now, numbers, reported = Record(), 0, [], 0
    for what, choice, wait in steps:
        now += wait
        device = (CAMERA, "camera.line-1.cam2", GATEWAY)[choice % 3]
        if what == "move":
            name, before, after = MOVES[choice % len(MOVES)]
            record.event(now, name, device, **{"from": before, "to": after})
        elif what == "attested":
            record.event(now, "attested", device)
        elif what == "report":
            record.report(now, reported, [(device, max(1, now - choice))] if choice % 2 else ())
            reported = now
        elif what == "finding":
            record.event(now, "frame-frozen", device, first_ms=max(0, now - choice), count=1)
        elif what == "open" and record.rows:
            trigger = len(record.rows) - 1 - choice % len(record.rows)
            title = ("contradicted", "known-answer-deviated")[choice % 2]
            made = record.incident(now, trigger, device, title, drill=choice > 6)
            numbers.append(made)
        elif what == "answer" and numbers:
            number = numbers[choice % len(numbers)]
            verdict = ("true-positive", "benign", "test", "false-positive")[choice % 4]
            name = ("incident-noted", "incident-closed", "incident-assigned")[choice % 3]
            more = {"verdict": verdict} if name == "incident-closed" else {}
            more |= {"assignee": "a"} if name == "incident-assigned" else {}
            record.event(now, name, device, incident=number, **more)
        elif what == "people":
            name = ("access-asked", "access-approved", "access-denied")[choice % 3]
            record.event(now, name, request=f"r{choice // 3}")
        elif what == "sink":
            record.event(now, ("siem-silent", "siem-back")[choice % 2], sink=f"s{choice // 5}")
    record.both(since)


def test_the_script_reads_an_export_by_itself(tmp_path, capsys):
    record = Record()
    record.report(60_000, 0)
    export = tmp_path / "export"
    import json

    lines = [{"format": "x"}, *record.rows, {"head": "y"}]
    export.write_text("\n".join(map(json.dumps, lines)))
    assert CHECK.main(["kpi_check", str(export)]) == 0
    assert json.loads(capsys.readouterr().out)["coverage"]["rate"] == 1.0
    assert not [m for m in sys.modules.values() if m is CHECK and hasattr(m, "framegate")]
