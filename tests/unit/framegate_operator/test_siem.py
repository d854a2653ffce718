"""`framegate siem …`: what people and programs are told."""

import contextlib
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent
from framegate_operator import siem, siem_verify
from framegate_proto.v1 import framegate_pb2 as pb

NOW = 1_790_000_000_000
ROWS = [
    pb.SinkRow(
        name="archive",
        kind="file",
        ocsf="1.8.0",
        confirmed=40,
        confirmed_ms=NOW,
        confirms="written and synchronised to disk",
    ),
    pb.SinkRow(
        name="splunk",
        kind="hec",
        address="https://splunk.example.net:8088",
        channel="main",
        ocsf="1.8.0",
        confirmed=12,
        confirmed_ms=NOW,
        failing_ms=NOW,
        failures=7,
        error="HTTP 503 [bold]",
        dead=1,
        confirms="the indexer acknowledged it",
    ),
]


@pytest.fixture
def operator(monkeypatch, signed_log):
    """A controller that answers with `ROWS` and the signed record."""
    head = pb.LogHeadReply(
        checkpoint=signed_log.heads[-1],
        earlier=signed_log.heads[:-1],
        size=len(signed_log.entries),
        fleet="plant",
    )
    rows = [pb.LogRow(index=n, entry=raw) for n, raw in enumerate(signed_log.entries)]
    stub = SimpleNamespace(
        ListSinks=lambda _r: pb.SinksReply(sinks=ROWS, size=40),
        TestSink=lambda _r: pb.TestSinkReply(index=39),
        AddSink=lambda r: pb.SinkRow(name=r.name, kind=r.kind, ocsf=r.ocsf, confirms="x"),
        RemoveSink=lambda _r: ROWS[1],
        LogHead=lambda _r: head,
        ReadLog=lambda r, stream: iter(rows[: r.limit]),
    )
    root = signed_log.keys.root.certificate
    for module in (siem, siem_verify):
        monkeypatch.setattr(module, "operator_stub", lambda _o: contextlib.nullcontext(stub))
        context = SimpleNamespace(root_certificate=root)
        monkeypatch.setattr(module, "load_context", lambda _c, c=context: c)
    return stub


def told(*argv, code=0):
    done = CliRunner().invoke(siem.app, list(map(str, argv)))
    assert done.exit_code == code, done.output
    return done


def test_status_says_how_far_each_is_and_what_is_wrong(operator):
    rows = json.loads(told("status", "-o", "json").stdout)
    assert [(r["sink"], r["waiting"], r["failures"]) for r in rows] == [
        ("archive", 0, 0),
        ("splunk", 28, 7),
    ]
    shown = told("status").stdout
    assert "HTTP 503 [bold]" in " ".join(shown.split())


def test_list_says_what_a_confirmation_is_worth(operator):
    assert json.loads(told("list", "-o", "json").stdout)[1]["confirms"] == ROWS[1].confirms
    assert "splunk" in told("list").stdout


def test_a_test_waits_until_the_sink_has_confirmed_its_entry(operator):
    done = json.loads(told("test", "archive", "-o", "json").stdout)
    assert (done["sink"], done["entry"]) == ("archive", 39)


def test_a_test_that_is_not_confirmed_says_why(operator):
    assert "HTTP 503" in told("test", "splunk", "--within", "0.1s", code=7).output


def test_add_and_remove_say_what_is_next(operator):
    assert "framegate siem test new" in told("add", "new", "--kind", "file").output
    assert "below 12" in told("remove", "splunk").output


@pytest.fixture
def export(tmp_path, signed_log):
    """A copy of the record as a SIEM exports it, less some entries, from one on."""

    def write(*gone, first=0):
        file = tmp_path / "export.jsonl"
        events = [ocsf_event(LoggedEvent.parse("plant", raw)) for raw in signed_log.entries]
        kept = [e for n, e in enumerate(events) if n not in gone and n >= first]
        file.write_text("".join(json.dumps({"_source": e}) + "\n" for e in kept))
        return file

    return write


def test_a_whole_copy_is_verified(operator, export):
    assert "verified" in told("verify", export()).output
    assert json.loads(told("verify", export(first=5), "--first", 5, "-o", "json").stdout)[
        "verified"
    ]


def test_the_first_entry_that_is_missing_is_named_and_ends_with_6(operator, export):
    assert "missing at entry 7" in told("verify", export(7, 9), code=6).output
    said = json.loads(told("verify", export(7, 9), "-o", "json", code=6).stdout)
    assert (said["verified"], said["check"], said["entry"]) == (False, "missing", 7)
