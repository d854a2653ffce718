"""`framegate siem verify --sink`: a copy is read back from a SIEM's own interface (contract stubs,
librdkafka's mock cluster) and held against the signed record.
"""

import contextlib
import copy
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.http import ElasticSink, HecSink
from framegate_controller.sinks.kafka import KafkaSink
from framegate_operator import siem, siem_verify
from framegate_operator.siem_reading import READERS
from framegate_proto.v1 import framegate_pb2 as pb
from support import collectors
from support.sinks import Elastic, Splunk, SplunkSearch, outgoing, serving

ASKED = ("verify", "--sink", "siem", "--credentials")


@pytest.fixture
def batch(signed_log):
    return [outgoing(raw) for raw in signed_log.entries]


@pytest.fixture
def reader(tmp_path):
    """A folder with what a person reads with."""
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "token").touch(0o600)
    (folder / "token").write_text("reader\n")
    return folder


@pytest.fixture
def operator(monkeypatch, signed_log):
    """A controller with one sink, `siem`, which a test fills in."""
    row = pb.SinkRow(name="siem", confirmed=len(signed_log.entries))
    head = pb.LogHeadReply(
        checkpoint=signed_log.heads[-1],
        earlier=signed_log.heads[:-1],
        size=len(signed_log.entries),
        fleet="plant",
    )
    rows = [pb.LogRow(index=n, entry=raw) for n, raw in enumerate(signed_log.entries)]
    stub = SimpleNamespace(
        row=row,
        ListSinks=lambda _r: pb.SinksReply(sinks=[row], size=head.size),
        LogHead=lambda _r: head,
        ReadLog=lambda r, stream: iter(rows[: r.limit]),
    )
    monkeypatch.setattr(siem_verify, "operator_stub", lambda _o: contextlib.nullcontext(stub))
    root = SimpleNamespace(root_certificate=signed_log.keys.root.certificate)
    monkeypatch.setattr(siem_verify, "load_context", lambda _c: root)
    return stub


def verified(*argv, code=0):
    done = CliRunner().invoke(siem.app, ["verify", *map(str, argv), "-o", "json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code in {0, 6} else done.output


def at(row, kind, address, channel="ocsf"):
    row.kind, row.address, row.channel = kind, address, channel


class AtElastic:
    """What was written to Elastic, and how it is read."""

    def __init__(self, stub, operator, reader, batch):
        self.server, self.argv = stub.answer, ("--sink", "siem", "--credentials", reader)
        ElasticSink(stub.address, "ocsf", Credentials(reader)).deliver(batch)
        operator.row.kind, operator.row.address, operator.row.channel = (
            "elastic",
            stub.address,
            "ocsf",
        )
        self.documents = stub.answer.documents


class AtSplunk:
    """The same of Splunk, which is read at another port."""

    def __init__(self, stub, operator, reader, batch, search):
        HecSink(stub.address, "main", Credentials(reader)).deliver(batch)
        at(operator.row, "hec", stub.address, "main")
        self.server = search.answer
        self.argv = ("--sink", "siem", "--credentials", reader, "--from", search.address)
        self.documents = {e["source"]: e["event"] for e in stub.answer.indexed}
        stub.answer.indexed = self

    def __iter__(self):
        return iter(
            {"event": e, "index": "main", "sourcetype": "framegate:ocsf"}
            for e in self.documents.values()
        )


@pytest.fixture(params=["elastic", "splunk"])
def there(request, operator, reader, batch):
    """A SIEM that has the whole record."""
    with contextlib.ExitStack() as stack:
        if request.param == "elastic":
            stub = stack.enter_context(serving(Elastic()))
            yield AtElastic(stub, operator, reader, batch)
        else:
            splunk = Splunk()
            stub = stack.enter_context(serving(splunk))
            search = stack.enter_context(serving(SplunkSearch(splunk)))
            yield AtSplunk(stub, operator, reader, batch, search)


def test_a_whole_copy_is_read_back_and_verified(there, batch):
    done = verified(*there.argv)
    assert (done["verified"], done["entries"], done["again"]) == (True, len(batch), 0)
    assert getattr(there.server, "scrolls", {}) == {}, "a scroll that nobody ended"


def test_n150_the_first_entry_that_is_missing_is_named(there):
    for number in (9, 7, 30):
        del there.documents[f"plant:{number}"]
    done = verified(*there.argv, code=6)
    assert (done["check"], done["entry"]) == ("missing", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"severity_id": 1},
        {"message": "nothing happened"},
        {"time": 1},
        {"raw_data": "{}"},
    ],
    ids=["severity", "message", "time", "raw"],
)
def test_n150_an_entry_that_was_altered_is_named(there, change):
    event = copy.deepcopy(there.documents["plant:5"])
    there.documents["plant:5"] = event | change
    done = verified(*there.argv, code=6)
    assert (done["check"], done["entry"]) == ("altered", 5)


def test_n150_an_entry_given_to_another_fleet_is_missing_in_ours(there):
    event = copy.deepcopy(there.documents["plant:5"])
    event["metadata"]["tenant_uid"] = "elsewhere"
    there.documents["plant:5"] = event
    done = verified(*there.argv, code=6)
    assert (done["check"], done["entry"]) == ("missing", 5)


def test_what_others_wrote_beside_it_is_counted(there):
    there.documents["x"] = {"message": "a web server's"}
    there.documents["y"] = {"metadata": {"tenant_uid": "other"}, "raw_data": "{}"}
    assert verified(*there.argv)["others"] == 2


def test_what_waits_for_the_sink_is_not_missing(there, operator, signed_log, batch):
    last = f"plant:{len(batch) - 1}"
    del there.documents[last]
    operator.row.confirmed = len(batch) - 1
    assert verified(*there.argv)["entries"] == len(batch) - 1
    operator.row.confirmed = len(batch)
    assert verified(*there.argv, code=6)["entry"] == len(batch) - 1


def test_a_token_that_may_not_read_is_said(there, reader):
    (reader / "token").write_text("stranger")
    assert "401" in verified(*there.argv, code=7)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"_scroll_id": "x", "timed_out": True, "_shards": {"failed": 0}, "hits": {}}, {}),
        (200, {"_scroll_id": "x", "timed_out": False, "_shards": {"failed": 1}, "hits": {}}, {}),
        (200, {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": [1]}}, {}),
        (200, {}, {}),
        (200, b"[" * 100_000, {}),
        (200, b"[]", {}),
        (302, {}, {"Location": "http://127.0.0.1:1/"}),
        (500, {}, {}),
    ],
    ids=["timed-out", "shard-failed", "no-scroll", "empty", "deep", "array", "elsewhere", "500"],
)
def test_n150_a_search_that_is_not_whole_is_no_copy(operator, reader, answer):
    with serving(lambda *_: answer) as stub:
        operator.row.kind, operator.row.address, operator.row.channel = (
            "elastic",
            stub.address,
            "ocsf",
        )
        said = CliRunner().invoke(
            siem.app, ["verify", "--sink", "siem", "--credentials", str(reader)]
        )
    assert said.exit_code not in {0, 6}, said.output
    assert "verified" not in said.output


def test_n150_a_search_without_end_ends(operator, reader, monkeypatch, batch):
    monkeypatch.setattr("framegate_operator.siem_reading.MOST_MORE", 0)
    page = {"_scroll_id": "x", "timed_out": False, "_shards": {"failed": 0}}
    page["hits"] = {"hits": [{"_source": batch[0].event}] * 50}
    with serving(lambda *_: (200, page, {})) as stub:
        operator.row.kind, operator.row.address, operator.row.channel = (
            "elastic",
            stub.address,
            "ocsf",
        )
        said = CliRunner().invoke(
            siem.app, ["verify", "--sink", "siem", "--credentials", str(reader)]
        )
    assert "too-large" in said.output and said.exit_code not in {0, 6}


def test_splunks_own_word_that_a_search_failed_counts(operator, reader, batch):
    splunk = Splunk()
    search = SplunkSearch(splunk)
    with serving(splunk) as stub, serving(search) as asked:
        there = AtSplunk(stub, operator, reader, batch, asked)
        search.messages = [{"type": "ERROR", "text": "peer down"}]
        assert "peer down" in verified(*there.argv, code=7)
        search.messages = [{"type": "INFO", "text": "fine"}]
        assert verified(*there.argv)["verified"]


def test_splunk_is_read_at_its_management_port_or_not_at_all(operator, reader):
    operator.row.kind, operator.row.address = "hec", "https://splunk.example.net:8088"
    said = verified("--sink", "siem", "--credentials", reader, code=2)
    assert "management port" in said


def test_kafka_is_read_from_every_partitions_beginning(operator, tmp_path, batch):
    pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    with collectors.kafka_cluster() as address:
        at(operator.row, "kafka", address)
        sink = KafkaSink(address, "ocsf", Credentials(tmp_path))
        sink.deliver(batch[:8])
        sink.deliver(batch[9:])
        done = verified("--sink", "siem", code=6)
        assert (done["check"], done["entry"]) == ("missing", 8)
        sink.deliver(batch[8:10])
        sink.close()
        done = verified("--sink", "siem")
    assert (done["entries"], done["again"]) == (len(batch), 1)


@pytest.mark.parametrize("kind", ["file", "stdout", "syslog", "mqtt", "otlp", "webhook"])
def test_what_has_no_interface_is_verified_from_files(operator, kind):
    assert kind not in READERS
    operator.row.kind, operator.row.address = kind, ""
    assert "framegate siem verify FILE" in verified("--sink", "siem", code=2)


@pytest.mark.parametrize("argv", [(), ("--sink", "siem", __file__)], ids=["neither", "both"])
def test_files_or_a_sink(operator, argv):
    assert "files, or --sink NAME" in verified(*argv, code=2)
