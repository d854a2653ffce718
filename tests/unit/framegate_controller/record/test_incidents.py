"""Incidents out of the record: opened, linked, answered by people, closed."""

import json

import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.findings.kinds import Finding, FindingKind
from framegate.machines.lifecycle import Event as Edge
from framegate.record.event import Severity
from framegate.record.events import events
from framegate.record.incident_export import incident_finding, page, timeline
from framegate.record.incidents import LINKS, OPENS, STEPS, Book
from framegate.record.machine_events import EvidenceRefused
from framegate.record.site_events import SiteFinding
from framegate_controller.clockwork.incidents import IncidentFollower
from framegate_controller.rpc import incidents as rows
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import add_person
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.reports import CAMERA, HOST, finding


@pytest.fixture
def follower(bench):
    bench.enrol()
    follower = IncidentFollower(bench.store)
    follower.follow()  # a registry of before begins with what is new
    return follower


@pytest.fixture
def desk(bench, follower):
    return AllowedCaller(bench.store, bench.fleet, rows.ROWS)


def refused(bench, device=CAMERA):
    with bench.store.writing() as tx:
        return tx.record(EvidenceRefused(device=device, reasons=(Reason.SIGNATURE,)), by="x")


def incidents(bench):
    return [e for e in bench.events() if str(e.get("event", "")).startswith("incident-")]


def test_what_opens_links_and_moves_are_events_that_exist():
    assert set(OPENS) | LINKS | STEPS <= set(events())
    assert not set(OPENS) & LINKS and not (set(OPENS) | LINKS) & STEPS


def test_nothing_opens_where_nothing_is_found(bench, follower):
    follower.follow()
    assert incidents(bench) == []


def test_one_incident_about_one_machine_however_much_is_found_and_done(bench, follower):
    first = refused(bench)
    second = refused(bench)
    bench.move(Edge.QUARANTINE)
    follower.follow()
    third = refused(bench)
    follower.follow()
    follower.follow()

    opened, linked, step, again = incidents(bench)
    assert opened["event"] == "incident-opened" and opened["members"]["trigger"] == first
    assert opened["device"] == CAMERA and opened["actor"] == "controller"
    assert linked["members"] == {"incident": opened["index"], "entries": [second]}
    assert step["event"] == "incident-step" and step["members"]["what"] == "quarantine"
    assert again["members"]["entries"] == [third]


def test_another_machine_has_its_own(bench, follower):
    bench.enrol("cam2")
    refused(bench)
    refused(bench, "camera.line-1.cam2")
    follower.follow()
    assert [e["device"] for e in incidents(bench)] == [CAMERA, "camera.line-1.cam2"]


def test_what_links_opens_none_by_itself(bench, reports, follower):
    reports.take(
        reports.report(finding(FindingKind.SEAL_REFUSED), finding(FindingKind.FRAME_QUALITY))
    )
    follower.follow()
    assert incidents(bench) == []


def test_a_controller_that_is_killed_neither_misses_one_nor_answers_twice(bench, follower):
    refused(bench)
    IncidentFollower(bench.store).follow()  # another process, which the first one never heard of
    IncidentFollower(bench.store).follow()
    assert len(incidents(bench)) == 1
    refused(bench)
    IncidentFollower(bench.store).follow()
    assert [e["event"] for e in incidents(bench)] == ["incident-opened", "incident-linked"]


def test_a_failure_in_between_is_made_good(bench, follower, monkeypatch):
    refused(bench)
    with bench.store.writing() as tx:
        settings = type(tx.settings)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "put", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            follower.follow()
    assert incidents(bench) == [], "all of it was taken back"
    follower.follow()
    assert len(incidents(bench)) == 1


def test_people_note_assign_and_close(bench, follower, desk):
    add_person(bench.store, bench.keys, "berta", "operator")
    refused(bench)
    follower.follow()
    (row,) = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents
    assert (row.about, row.title, row.state) == (CAMERA, "evidence-refused", "new")
    assert row.severity == Severity.HIGH and not row.drill

    number = row.incident
    desk.ask("NoteIncident", pb.NoteIncidentRequest(incident=number, note="I look <b>"))
    reply = desk.ask("AssignIncident", pb.AssignIncidentRequest(incident=number, assignee="berta"))
    assert reply.incident.state == "taken" and reply.incident.assignee == "berta"
    reply = desk.ask(
        "CloseIncident",
        pb.CloseIncidentRequest(incident=number, verdict="false-positive", note="a test board"),
    )
    assert reply.incident.state == "closed" and reply.incident.verdict == "false-positive"
    assert not desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents
    assert len(desk.ask("ListIncidents", pb.ListIncidentsRequest(all=True)).incidents) == 1

    entries = [json.loads(e) for e in reply.entries]
    told = [(line.what, line.words) for line in timeline(entries)]
    assert told[0][0] == "evidence-refused" and told[0][1].startswith(f"{CAMERA}: ")
    assert [t[0] for t in told[1:]] == ["opened", "note", "assigned", "closed"]
    html = page(entries, "plant")
    assert "I look &lt;b&gt;" in html and "<b>" not in html

    refused(bench)  # what is found after it is another one
    follower.follow()
    assert [e["event"] for e in incidents(bench)][-1] == "incident-opened"


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("ShowIncident", pb.IncidentRequest(incident=1), Reason.NOT_FOUND),
        ("NoteIncident", pb.NoteIncidentRequest(incident=1, note="n"), Reason.NOT_FOUND),
        ("AssignIncident", pb.AssignIncidentRequest(incident=1, assignee="x"), Reason.NOT_FOUND),
        (
            "CloseIncident",
            pb.CloseIncidentRequest(incident=1, verdict="test", note="n"),
            Reason.NOT_FOUND,
        ),
        ("NoteIncident", pb.NoteIncidentRequest(incident=1, note=" "), Reason.USAGE),
        ("NoteIncident", pb.NoteIncidentRequest(incident=1, note="n" * 2001), Reason.USAGE),
        ("CloseIncident", pb.CloseIncidentRequest(incident=1, verdict="mine"), Reason.USAGE),
        ("DeclareDrill", pb.DeclareDrillRequest(device="cam1", minutes=5), Reason.USAGE),
        (
            "DeclareDrill",
            pb.DeclareDrillRequest(device="cam1", minutes=481, reason="r"),
            Reason.USAGE,
        ),
        (
            "DeclareDrill",
            pb.DeclareDrillRequest(device="cam9", minutes=5, reason="r"),
            Reason.NOT_FOUND,
        ),
    ],
)
def test_what_is_no_incident_or_no_answer_to_one(desk, method, request_, reason):
    with pytest.raises(FramegateError) as error:
        desk.ask(method, request_)
    assert isinstance(error.value, Malformed | Refused) and error.value.reason == reason


def test_a_closed_one_takes_notes_and_nothing_else(bench, follower, desk):
    refused(bench)
    follower.follow()
    number = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents[0].incident
    closed = pb.CloseIncidentRequest(incident=number, verdict="true-positive", note="n")
    desk.ask("CloseIncident", closed)
    for method, request in (
        ("CloseIncident", closed),
        ("AssignIncident", pb.AssignIncidentRequest(incident=number, assignee="anna")),
    ):
        with pytest.raises(Refused) as error:
            desk.ask(method, request)
        assert error.value.reason == Reason.CONFLICT
    desk.ask("NoteIncident", pb.NoteIncidentRequest(incident=number, note="later"))


def frozen(bench, last_ms, count=1):
    """A gateway's word on old pictures of a camera, counted until then."""
    seen = Finding(
        kind=FindingKind.FRAME_FROZEN,
        device=CAMERA,
        reason=Reason.FRAME_FROZEN,
        count=count,
        first_ms=last_ms - 1,
        last_ms=last_ms,
    )
    with bench.store.writing() as tx:
        event = SiteFinding(device=CAMERA, finding=seen, reporter=HOST, store="s", report=1)
        return tx.record(event, by=HOST)


@pytest.mark.parametrize(
    ("seen_ms", "told_ms", "opens"),
    [(0, 60_000, False), (0, 120_000, False), (1, 60_000, True), (0, 120_001, True)],
    ids=["counted-before", "just-in-time", "seen-after", "told-too-late"],
)
def test_what_was_counted_before_one_was_closed_opens_no_other(
    bench, follower, desk, seen_ms, told_ms, opens
):
    frozen(bench, bench.clock.now)
    follower.follow()
    (number,) = [e["index"] for e in incidents(bench)]
    closing = pb.CloseIncidentRequest(incident=number, verdict="true-positive", note="tape")
    desk.ask("CloseIncident", closing)
    closed_ms = bench.clock.now
    bench.clock.now = closed_ms + told_ms
    again = frozen(bench, closed_ms + seen_ms, count=40)
    follower.follow()
    opened = [e for e in incidents(bench) if e["event"] == "incident-opened"]
    linked = [e["members"] for e in incidents(bench) if e["event"] == "incident-linked"]
    assert len(opened) == 1 + opens
    assert linked == ([] if opens else [{"incident": number, "entries": [again]}])


def test_a_drill_is_counted_apart_while_it_lasts_and_no_longer(bench, follower, desk):
    asked = pb.DeclareDrillRequest(device="cam1", minutes=5, reason="exercise")
    assert desk.ask("DeclareDrill", asked).until_ms == bench.clock() + 300_000
    assert len(bench.events("drill-declared")) == 1
    refused(bench)
    follower.follow()
    (row,) = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents
    assert row.drill
    desk.ask(
        "CloseIncident", pb.CloseIncidentRequest(incident=row.incident, verdict="test", note="n")
    )
    bench.clock.pass_s(301)
    refused(bench)
    follower.follow()
    (row,) = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents
    assert not row.drill


def test_an_incident_as_an_ocsf_finding(bench, follower, desk):
    refused(bench)
    refused(bench)
    follower.follow()
    number = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents[0].incident
    reply = desk.ask("ShowIncident", pb.IncidentRequest(incident=number))
    entries = [json.loads(e) for e in reply.entries]
    found = incident_finding(entries, "plant")
    required = {
        "activity_id",
        "category_uid",
        "class_uid",
        "finding_info_list",
        "metadata",
        "severity_id",
        "status_id",
        "time",
        "type_uid",
    }
    assert required <= set(found) and ("assignee" in found) != ("assignee_group" in found)
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"] == 200501
    assert [f["uid"] for f in found["finding_info_list"]] == [
        f"plant:{e['index']}" for e in entries if e["event"] == "evidence-refused"
    ]
    closed = pb.CloseIncidentRequest(incident=number, verdict="benign", note="n")
    entries = [json.loads(e) for e in desk.ask("CloseIncident", closed).entries]
    found = incident_finding(entries, "plant")
    assert (found["activity_id"], found["status_id"], found["verdict_id"]) == (3, 5, 5)
    assert found["end_time"] >= found["start_time"]


def test_a_book_reads_what_it_read_before_only_once(bench, follower, desk):
    refused(bench)
    follower.follow()
    number = desk.ask("ListIncidents", pb.ListIncidentsRequest()).incidents[0].incident
    desk.ask("NoteIncident", pb.NoteIncidentRequest(incident=number, note="n"))
    book = Book()
    for entry in [*bench.events(), *bench.events()]:
        book.read(entry)
    assert len(book.incidents[number].own) == 2


def test_entries_of_none_or_several_are_no_incident():
    for entries in ([], [{"index": 0, "kind": "event", "event": "proved"}]):
        with pytest.raises(ValueError, match="0 incidents"):
            incident_finding(entries, "plant")
