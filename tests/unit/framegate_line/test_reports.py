"""A line's reports: said until the record's own proof says that they are there."""

import json

import pytest

from framegate.errors import FramegateError
from framegate.findings.kinds import FindingKind
from framegate.record.taken_reports import taken_message, verify_taken
from framegate.record.verify import LogAnchor
from framegate.signed.report import LineReport
from framegate_host.report_store import ReportStore
from framegate_line.reports import LineReports
from support.reports import LINE


class Known:
    """A line whose key the recorder has."""

    def __init__(self, reports):
        self.root = reports.bench.keys.root.certificate
        self.der, self.sign = reports.line_signer.der, reports.line_signer.sign


@pytest.fixture
def line(reports, tmp_path):
    folder = tmp_path / "line"
    line = LineReports("press-7", ReportStore(folder), Known(reports), reports.bench.clock)
    yield line
    line.close()


def brought(reports, envelope):
    proof = reports.desk.take("gateway.line-1.gw1", "line-1", envelope)
    return taken_message(proof.entry, proof.index, proof.path, proof.checkpoint)


async def test_a_report_is_said_again_until_its_proof_comes(reports, line, monkeypatch):
    said = []
    line.saw(FindingKind.LINE_STOP, "timeout", "5 parts")
    line._gather()
    await line._say(lambda topic, envelope: said.append((topic, envelope)))
    await line._say(lambda *message: said.append(message))
    assert len(said) == 1 and said[0][0] == "framegate/v1/lines/press-7/reports"
    monkeypatch.setattr("framegate_line.reports.AGAIN_S", 0.0)
    await line._say(lambda *message: said.append(message))
    assert said[1] == said[0]

    line.taken(brought(reports, said[0][1]))
    await line._say(lambda *message: said.append(message))
    assert len(said) == 2
    (event,) = reports.bench.events("line-stop-asked")
    assert event["members"]["said"] == "5 parts"


@pytest.mark.parametrize(
    "how",
    [
        "no proof",
        "another's report",
        "another entry",
        "another index",
        "a head by another key",
        "a path that is cut",
        "another digest",
        "garbage",
    ],
)
async def test_n155_a_proof_that_does_not_hold_takes_nothing(reports, line, how):
    line._gather()
    (own,) = line.reporter.store.untaken(9)
    message = json.loads(brought(reports, own.envelope))
    anchor = LogAnchor(root=reports.bench.keys.root.certificate)
    assert verify_taken(json.dumps(message).encode(), LINE, anchor).number == 1
    if how == "no proof":
        del message["path"]
    elif how == "another's report":
        other = brought(reports, _sealed(reports, reports.report()))
        message = json.loads(other)
    elif how == "another entry":
        message["entry"] = message["checkpoint"]
    elif how == "another index":
        message["index"] -= 1
    elif how == "a head by another key":
        head = json.loads(_b64(message["checkpoint"]))
        head["signatures"][0]["cert"] = json.loads(own.envelope)["signatures"][0]["cert"]
        message["checkpoint"] = _text(json.dumps(head).encode())
    elif how == "a path that is cut":
        message["path"] = message["path"][:-1]
    elif how == "another digest":
        line.reporter.store._db.execute("UPDATE reports SET sha256 = 'ab'")
    raw = b"\xff" if how == "garbage" else json.dumps(message).encode()

    line.taken(raw)

    assert [r.number for r in line.reporter.store.untaken(9)] == [1]
    if how != "another digest":
        with pytest.raises(FramegateError):
            verify_taken(raw, LINE, anchor)


async def test_the_broker_that_goes_away_is_told_of_once(line):
    for connected in (True, False, False, True):
        line._look(connected)
    line._gather()
    (own,) = line.reporter.store.untaken(9)
    from framegate.signed.dsse import parse_envelope

    payload = parse_envelope(own.envelope, LineReport.TYPE).payload
    (told,) = LineReport.parse_payload(payload).findings
    assert (told["kind"], told["count"]) == ("broker-trouble", 1)


async def test_an_adapter_that_asks_for_a_stop_and_an_output_that_refuses_are_told(bench_line):
    heard = []
    bench_line.adapter.report = lambda kind, reason, said: heard.append((kind, reason, said))
    stop_after = bench_line.adapter.rules.stop_after
    for number in range(1, stop_after + 1):
        bench_line.trigger(number)
        for camera in bench_line.adapter.rules.cameras:
            bench_line.adapter.verdict(
                bench_line.verdict(camera, number, "UNINSPECTED", part=f"p{number}")
            )
    await bench_line.settled()
    bench_line.adapter._say_state(frozenset({"modbus:plc:502"}))
    assert [h[0] for h in heard] == [FindingKind.LINE_STOP, FindingKind.LINE_OUTPUT]
    assert heard[0][1] == "stale" and heard[1][2] == "modbus:plc:502"


def _sealed(reports, report):
    return report.seal(reports.signer.der, reports.signer.sign)


def _b64(text):
    from base64 import b64decode

    return b64decode(text)


def _text(raw):
    from base64 import b64encode

    return b64encode(raw).decode()
