"""Splunk, Elastic, webhooks and OTLP over HTTP against contract stubs: what they call confirmed."""

import gzip
import json
from collections import Counter

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as collector

from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.delivery import SinkFailed, SinkRefused, delivered
from framegate_controller.sinks.http import ElasticSink, HecSink, WebhookSink
from framegate_controller.sinks.otlp import OtlpHttpSink
from framegate_host.private_files import write_private
from support.ocsf_entries import every_entry
from support.sinks import Elastic, Splunk, outgoing, serving

BATCH = [outgoing(raw) for raw in every_entry()[:6]]


@pytest.fixture
def credentials(tmp_path):
    write_private(tmp_path / "token", b"s3cret\n")
    return Credentials(tmp_path)


def _ok(path, body, headers):
    return 200, {}, {}


def test_n150_splunk_confirms_by_its_acknowledgement_not_by_its_200(credentials):
    splunk = Splunk(answers_after=2)
    with serving(splunk) as stub:
        sink = HecSink(stub.address, "main", credentials)
        sink.deliver(BATCH)
        sink.close()
    assert splunk.asked == 3
    assert [e["event"] for e in splunk.indexed] == [o.event for o in BATCH]
    first = splunk.indexed[0]
    assert first["time"] == BATCH[0].event["time"] / 1000
    assert (first["index"], first["sourcetype"]) == ("main", "framegate:ocsf")
    assert stub.requests[0][2]["Authorization"] == "Splunk s3cret"


def test_n150_splunk_without_acknowledgement_confirms_nothing(credentials):
    said = pytest.raises(SinkFailed, match="switch on indexer acknowledgement")
    with serving(Splunk(acks=False)) as stub, said:
        HecSink(stub.address, "main", credentials).deliver(BATCH)


def test_n150_splunk_that_never_acknowledges_confirms_nothing(credentials):
    now = iter(range(0, 1000, 10))
    with serving(Splunk(answers_after=10**9)) as stub:
        sink = HecSink(stub.address, "main", credentials, clock=lambda: float(next(now)))
        with pytest.raises(SinkFailed, match="no acknowledgement"):
            sink.deliver(BATCH)


@pytest.mark.parametrize(
    "acks", [{}, {"acks": []}, {"acks": {"0": "true"}}, {"acks": {"1": True}}, [], "x"]
)
def test_n150_an_acknowledgement_of_something_else_is_none(credentials, acks):
    now = iter(range(0, 1000, 20))

    def answer(path, body, headers):
        return (200, acks, {}) if "ack" in path else (200, {"ackId": 0}, {})

    with serving(answer) as stub, pytest.raises(SinkFailed):
        sink = HecSink(stub.address, "main", credentials, clock=lambda: float(next(now)))
        sink.deliver(BATCH)


def test_n150_what_elastic_has_already_is_there_once(credentials):
    elastic = Elastic()
    with serving(elastic) as stub:
        sink = ElasticSink(stub.address, "ocsf", credentials)
        sink.deliver(BATCH[:4])
        sink.deliver(BATCH)
    assert len(elastic.documents) == 6
    assert Counter(elastic.times.values()) == {2: 4, 1: 2}
    assert sorted(elastic.documents) == sorted(o.uid for o in BATCH)
    assert elastic.documents[BATCH[3].uid] == BATCH[3].event


def test_n150_a_200_of_elastic_is_not_of_every_entry(credentials):
    elastic = Elastic()
    with serving(elastic) as stub:
        sink = ElasticSink(stub.address, "ocsf", credentials)
        elastic.status = {BATCH[2].uid: 429}
        with pytest.raises(SinkFailed, match="429"):
            sink.deliver(BATCH)
        elastic.status = {BATCH[2].uid: 400}
        answer = delivered(sink, BATCH)
    assert [(r.first, r.count) for r in answer.refusals] == [(2, 1)]
    assert "400" in answer.refusals[0].why
    assert answer.confirmed == 6
    assert len(elastic.documents) == 5


@pytest.mark.parametrize(
    "items",
    [
        None,
        [],
        [{"create": {"_id": "plant:0", "status": 201}}],
        [{"create": {"_id": f"plant:{n}", "status": 201}} for n in (1, 0, 2, 3, 4, 5)],
        [{"create": {"_id": f"other:{n}", "status": 201}} for n in range(6)],
        [{"index": {"_id": f"plant:{n}", "status": 201}} for n in range(6)],
        [{"create": {"_id": f"plant:{n}", "status": "201"}} for n in range(6)],
        [{"create": {"_id": f"plant:{n}"}} for n in range(6)],
        ["x"] * 6,
    ],
)
def test_n150_an_answer_that_is_not_of_this_batch_confirms_nothing(credentials, items):
    reply = {"errors": False, "items": items}
    with serving(lambda *_: (200, reply, {})) as stub, pytest.raises(SinkFailed):
        ElasticSink(stub.address, "ocsf", credentials).deliver(BATCH)


SINKS = {
    "hec": lambda a, c: HecSink(a, "main", c),
    "elastic": lambda a, c: ElasticSink(a, "ocsf", c),
    "webhook": WebhookSink,
    "otlp": OtlpHttpSink,
}


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 429, 500, 502, 503, 504])
def test_n150_what_is_not_of_the_content_is_tried_again(credentials, kind, status):
    headers = {"Retry-After": "17", "Location": "http://127.0.0.1:9/"}
    with serving(lambda *_: (status, {}, headers)) as stub, pytest.raises(SinkFailed) as error:
        SINKS[kind](stub.address, credentials).deliver(BATCH)
    asked = 17.0 if status in {429, 502, 503, 504} else 0.0
    assert error.value.retry_s == asked
    assert len(stub.requests) == 1  # redirects are not followed: the record goes nowhere else


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("status", [400, 413])
def test_what_is_of_the_content_is_refused(credentials, kind, status):
    with serving(lambda *_: (status, {}, {})) as stub, pytest.raises(SinkRefused):
        SINKS[kind](stub.address, credentials).deliver(BATCH)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        *((kind, reply) for kind in ("hec", "elastic") for reply in (b"", b"[" * 50_000, b"null")),
        *(("otlp", reply) for reply in (b"\xff\xff", b"[" * 50_000, b"null")),
    ],
)
def test_n150_a_200_with_nonsense_confirms_nothing(credentials, kind, reply):
    with serving(lambda *_: (200, reply, {})) as stub, pytest.raises(SinkFailed):
        SINKS[kind](stub.address, credentials).deliver(BATCH)


@pytest.mark.parametrize("kind", SINKS)
def test_n150_an_endless_answer_is_cut(credentials, kind):
    packed = gzip.compress(b"x" * 40_000_000)
    headers = {"Content-Encoding": "gzip"}
    with serving(lambda *_: (200, packed, headers)) as stub, pytest.raises(SinkFailed):
        SINKS[kind](stub.address, credentials).deliver(BATCH)


def test_a_webhook_gets_an_array_and_any_2xx_confirms_it(credentials):
    with serving(lambda *_: (202, b"", {})) as stub:
        WebhookSink(stub.address, credentials).deliver(BATCH)
    _, body, headers = stub.requests[0]
    assert json.loads(body) == [o.event for o in BATCH]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Idempotency-Key"] == "plant:0-5"


def test_a_sink_without_a_token_gets_none(tmp_path):
    with serving(_ok) as stub:
        WebhookSink(stub.address, Credentials(tmp_path)).deliver(BATCH)
    assert "Authorization" not in stub.requests[0][2]


@pytest.mark.parametrize("token", [b"two\nlines", b"\xff", b"x" * 9000, b"a\x00b"])
def test_a_token_that_is_none_is_said_and_nothing_is_sent(tmp_path, token):
    write_private(tmp_path / "token", token)
    with serving(_ok) as stub, pytest.raises(SinkFailed, match="token"):
        WebhookSink(stub.address, Credentials(tmp_path)).deliver(BATCH)
    assert stub.requests == []


def test_n150_a_partial_success_of_otlp_is_a_loss(credentials):
    seen = []

    def answer(path, body, _headers):
        assert path == "/v1/logs"
        request = collector.ExportLogsServiceRequest.FromString(body)
        records = request.resource_logs[0].scope_logs[0].log_records
        uids = [r.attributes[0].value.string_value for r in records]
        reply = collector.ExportLogsServiceResponse()
        if BATCH[3].uid in uids:
            reply.partial_success.rejected_log_records = 1
            reply.partial_success.error_message = "too odd"
        else:
            seen.extend(uids)
        return 200, reply.SerializeToString(), {}

    with serving(answer) as stub:
        result = delivered(OtlpHttpSink(stub.address, credentials), BATCH)
    assert [r.first for r in result.refusals] == [3]
    assert "too odd" in result.refusals[0].why
    assert seen == [o.uid for o in BATCH if o.index != 3]
