"""Incidents as a fold over entries, and as a timeline, a page and an OCSF finding."""

import pytest

from framegate.record.event import Severity
from framegate.record.incident_events import IncidentLinked, IncidentStep
from framegate.record.incident_export import incident_finding, incident_in, page, timeline
from framegate.record.incidents import MAX_LINKED, OPENS, TOLD_LATE_MS, Book

CAM = "camera.line-1.cam1"


def entry(index, event, at_ms=None, *, device=CAM, **members):
    at_ms = 1_000 * index if at_ms is None else at_ms
    body = {"kind": "event", "event": event, "index": index, "at_ms": at_ms, "members": members}
    return {**body, "actor": "operator.anna", "device": device}


def opened(index=2, trigger=1, **members):
    said = {"about": CAM, "title": "frame-frozen", "priority": int(Severity.HIGH), "drill": False}
    said |= {"detected_ms": 1_000, "trigger": trigger} | members
    return entry(index, "incident-opened", **said)


def book_of(*entries):
    book = Book()
    for each in entries:
        book.read(each)
    return book


CLOSED = entry(9, "incident-closed", incident=2, verdict="test", note="a drill")


def test_what_opens_one_opens_one_about_each_thing():
    book = Book()
    entries = [entry(1, "frame-frozen"), entry(2, "frame-covered"), entry(3, "late", device="x")]
    (wanted,) = book.openings(entries)
    assert (wanted.about, wanted.title, wanted.trigger) == (CAM, "frame-frozen", 1)
    assert wanted.priority == Severity.HIGH and not wanted.drill
    assert book_of(opened()).openings(entries) == []


def test_an_entry_about_no_device_is_about_its_event():
    (wanted,) = Book().openings([entry(1, "registry-restored", device="")])
    assert wanted.about == "registry-restored" and wanted.priority == Severity.CRITICAL


@pytest.mark.parametrize(("until_ms", "drill"), [(1_000, True), (999, False)])
def test_a_declared_drill_is_one_until_it_ends(until_ms, drill):
    book = book_of(entry(0, "drill-declared", until_ms=until_ms, why="try"))
    assert book.openings([entry(1, "frame-frozen")])[0].drill is drill


def test_findings_and_steps_are_linked_by_few_events():
    book = book_of(opened())
    entries = [entry(1, "frame-frozen")]  # the trigger itself is no second finding
    entries += [entry(n, "late") for n in range(3, 3 + MAX_LINKED + 1)]
    entries += [entry(900, "quarantine"), entry(901, "release"), entry(902, "quarantine")]
    entries += [entry(903, "operator-added"), entry(904, "late", device="another")]
    answers = book.answer(entries)
    links = [a for a in answers if isinstance(a, IncidentLinked)]
    assert [len(a.entries) for a in links] == [MAX_LINKED, 1]
    (step,) = [a for a in answers if isinstance(a, IncidentStep)]
    assert step.entries == (900, 901, 902) and step.what == "quarantine, release"


def test_an_incident_from_new_to_closed():
    book = book_of(opened())
    assert (book.incidents[2].state, book.incidents[2].open) == ("new", True)
    linked = entry(3, "incident-linked", incident=2, entries=[5])
    step = entry(4, "incident-step", incident=2, entries=[6], what="quarantine")
    for each in (linked, linked, step, entry(5, "incident-linked", incident=77, entries=[1])):
        book.read(each)
    assert (book.incidents[2].findings, book.incidents[2].steps) == ((1, 5), (6,))
    assert book.incidents[2].state == "new" and set(book.incidents) == {2}
    book.read(entry(7, "incident-assigned", incident=2, assignee="ben"))
    book.read(entry(8, "incident-noted", incident=2, note="n"))
    assert (book.incidents[2].state, book.incidents[2].assignee) == ("taken", "ben")
    assert book.incidents[2].acknowledged_ms == 7_000
    book.read(CLOSED)
    done = book.incidents[2]
    assert (done.state, done.verdict, done.closed_ms) == ("closed", "test", 9_000)
    assert done.own == (2, 3, 4, 7, 8, 9) and book.about(CAM) is None
    book.read(entry(10, "incident-closed", 10_000, incident=2, verdict="benign", note=""))
    assert book.incidents[2].closed_ms == 9_000


@pytest.mark.parametrize(
    ("at_ms", "last_ms", "late"),
    [
        (9_500, 9_000, True),
        (9_500, 9_001, False),
        (9_000 + TOLD_LATE_MS, 8_000, True),
        (9_001 + TOLD_LATE_MS, 8_000, False),
        (9_500, True, False),
        (9_500, None, False),
    ],
)
def test_what_was_counted_before_the_end_opens_no_second_incident(at_ms, last_ms, late):
    book = book_of(opened(), CLOSED)
    told = entry(10, "frame-frozen", at_ms, last_ms=last_ms)
    assert bool(book.openings([told])) is not late
    assert bool(book.answer([told])) is late


ALL = [
    {**entry(1, "frame-frozen"), "detail": "<b>&frozen"},
    opened(),
    {"kind": "machine", "index": 3, "at_ms": 3_000, "device": CAM, "from": "a", "to": "b"},
    entry(4, "incident-linked", incident=2, entries=[3]),
    {**entry(5, "incident-step", incident=2, entries=[77], what="w"), "detail": "gone"},
    entry(6, "incident-noted", incident=2, note="<script>"),
]


def test_a_timeline_leaves_out_links_to_what_stands_there():
    lines = timeline(ALL)
    assert [line.index for line in lines] == [1, 2, 3, 5, 6]
    assert [line.what for line in lines] == ["frame-frozen", "opened", "machine", "step", "note"]
    assert lines[0].words == f"{CAM}: <b>&frozen" and lines[0].at == "1970-01-01 00:00:01"
    assert lines[2].words == f"{CAM}: a -> b" and lines[3].words == "gone"
    assigned = entry(8, "incident-assigned", incident=2, assignee="ben")
    assert [t.words for t in timeline([assigned, CLOSED])] == ["to ben", "test: a drill"]


def test_a_page_escapes_what_strangers_wrote():
    html = page(ALL, "plant<1>")
    assert "&lt;script&gt;" in html and "&lt;b&gt;&amp;frozen" in html
    assert "plant&lt;1&gt;" in html and "<script>" not in html and "<b>" not in html
    assert "nobody" in html and "none yet" in html


def test_an_ocsf_finding_of_a_new_a_taken_and_a_closed_one():
    finding = incident_finding(ALL[:-1], "plant")
    assert (finding["class_uid"], finding["type_uid"], finding["status_id"]) == (2005, 200501, 1)
    assert incident_finding(ALL, "plant")["status"] == "In Progress"
    assert finding["assignee_group"] == {"name": "unassigned"} and "end_time" not in finding
    assert finding["finding_info_list"] == [
        {"uid": "plant:1", "title": "frame-frozen", "created_time": 1_000, "desc": "<b>&frozen"},
        {"uid": "plant:3", "title": "machine", "created_time": 3_000},
    ]
    assigned = entry(8, "incident-assigned", incident=2, assignee="ben")
    quiet = [entry(1, "frame-frozen"), opened(drill=True), assigned, CLOSED]
    finding = incident_finding(quiet, "plant")
    assert (finding["activity_id"], finding["verdict_id"], finding["end_time"]) == (3, 6, 9_000)
    assert finding["assignee"] == {"name": "ben", "uid": "operator.ben"}
    assert finding["desc"].startswith("Drill: ") and finding["time"] == 9_000
    assert "desc" not in finding["finding_info_list"][0]


@pytest.mark.parametrize("entries", [[], ALL[:1], [opened(), opened(3)]])
def test_entries_of_none_or_of_several_are_refused(entries):
    with pytest.raises(ValueError, match=r"entries of [02] incidents"):
        incident_in(entries)


@pytest.mark.parametrize(
    "event",
    [
        "break-glass-used",
        "registry-restored",
        "segment-not-cut",
        "known-answer-deviated",
        "security-key-suspected",
        "report-withheld",
        "report-refused",
        "evidence-refused",
    ],
)
def test_what_nobody_may_overlook_opens_an_incident(event):
    """By itself, and at once: a person looks into each."""
    assert OPENS[event] >= Severity.HIGH
    assert Book().openings([entry(1, event)])
