"""Sinks against real collectors: what is confirmed is there, whole, and proves itself."""

import contextlib
import json
import select
import shutil
import socket
import ssl
import threading
from pathlib import Path

import grpc
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from framegate.ocsf.copy import TrustedHeads, verify_copy
from framegate.ocsf.logged import OcsfVersion
from framegate.record.entry import Act, entry_bytes, event_entry
from framegate.record.sink_events import SinkTested
from framegate.registry.sink import SinkKind
from framegate_controller.forwarding.cursor import NextBatch
from framegate_controller.forwarding.sink_process import SinkProcess
from framegate_controller.sinks import syslog
from framegate_controller.sinks.credentials import Credentials
from framegate_controller.sinks.delivery import SinkFailed, delivered
from framegate_controller.sinks.http import WebhookSink
from framegate_controller.sinks.kafka import KafkaSink
from framegate_controller.sinks.messages import BatchEntry, SinkSetup
from framegate_controller.sinks.mqtt import MqttSink
from framegate_controller.sinks.otlp import OtlpGrpcSink
from framegate_controller.sinks.syslog import SyslogSink
from framegate_operator.siem_copies import read_copies
from support import collectors
from support.sinks import outgoing, serving
from support.waiting import until


@pytest.fixture
def batch(signed_log):
    return [outgoing(raw) for raw in signed_log.entries]


@pytest.fixture
def server(tmp_path):
    """A folder with a server's certificate and key, and collectors' files."""
    collectors.self_signed(tmp_path / "server")
    return tmp_path / "server"


@pytest.fixture
def trusting(tmp_path, server):
    """A sink's credentials that trust that server."""
    folder = tmp_path / "sink"
    folder.mkdir()
    shutil.copy(server / "ca.pem", folder / "ca.pem")
    return Credentials(folder)


@pytest.fixture
def stranger(tmp_path):
    """Credentials that trust another."""
    collectors.self_signed(tmp_path / "stranger")
    return Credentials(tmp_path / "stranger")


def require_whole(log, events):
    done = verify_copy(events, TrustedHeads(log.heads, log.anchor, "plant"))
    assert done.entries == len(log.entries)


@pytest.mark.parametrize("program", ["rsyslog", "syslog_ng"])
async def test_syslog_over_tls_arrives_whole(
    program, server, trusting, stranger, batch, signed_log
):
    out = server / "out"
    with getattr(collectors, program)(server, out) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(SinkFailed, match="certificate"):
            SyslogSink(address, stranger).deliver(batch)
        sink = SyslogSink(address, trusting)
        sink.deliver(batch[:20])
        sink.deliver(batch[20:])
        await until(lambda: out.exists() and out.read_bytes().count(b"\n") == len(batch))
        sink.close()
    require_whole(signed_log, read_copies([out]))


@pytest.mark.parametrize(
    "template", ["json", "RSYSLOG_SyslogProtocol23Format", "RSYSLOG_TraditionalFileFormat"]
)
async def test_what_rsyslog_writes_by_its_templates_is_read(
    template, server, trusting, batch, signed_log
):
    out = server / "out"
    with collectors.rsyslog(server, out, template) as port:
        sink = SyslogSink(f"127.0.0.1:{port}", trusting)
        sink.deliver(batch)
        await until(lambda: out.exists() and out.read_bytes().count(b"\n") == len(batch))
        sink.close()
    require_whole(signed_log, read_copies([out]))


def siem_test(number):
    """The entry of `framegate siem test`, as it goes to a sink."""
    body = event_entry(SinkTested(sink="siem"), Act(actor="operator.anna"), 1_790_000_000_000)
    return outgoing(entry_bytes(number, None, body))


@contextlib.contextmanager
def hanging_up(server, *, reads, after_s=0.0):
    """A TLS server that hangs up on whoever sends it something, read or unread; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "ca.pem", server / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with contextlib.suppress(OSError):
                    tls = context.wrap_socket(connection, server_side=True)
                    if reads:
                        tls.recv(65_536)
                    else:
                        select.select([tls], [], [], 30)
                    tls.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(30)


@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("test", [True, False], ids=["siem-test", "any"])
def test_n150_a_syslog_collector_that_hangs_up_on_every_message(
    server, trusting, batch, reads, test, monkeypatch
):
    if not test:  # a collector on a busy machine takes longer to hang up; nobody waits past that
        monkeypatch.setattr(syslog, "GRACE_S", 30.0)
    with hanging_up(server, reads=reads) as port:
        sink = SyslogSink(f"127.0.0.1:{port}", trusting)
        for _ in range(3):
            with pytest.raises(SinkFailed, match=r"hung up|reset"):
                sink.deliver([siem_test(0)] if test else batch[:1])


@pytest.mark.parametrize("program", ["rsyslog", "syslog_ng"])
async def test_siem_test_is_read_to_its_end_by_real_collectors(program, server, trusting, batch):
    out = server / "out"
    with getattr(collectors, program)(server, out) as port:
        sink = SyslogSink(f"127.0.0.1:{port}", trusting)
        for part in (batch[:1], [siem_test(0)], batch[1:2]):
            sink.deliver(part)
        await until(lambda: out.exists() and out.read_bytes().count(b"\n") == 3)
        sink.close()


def test_n150_a_syslog_collector_that_hung_up_confirms_nothing(server, trusting, batch):
    with collectors.rsyslog(server, server / "out") as port:
        sink = SyslogSink(f"127.0.0.1:{port}", trusting)
        sink.deliver(batch[:2])
    with pytest.raises(SinkFailed):
        sink.deliver(batch[2:])
    with pytest.raises(SinkFailed, match="Refused"):
        sink.deliver(batch[2:])


def ids(events):
    return {e["metadata"]["uid"] for e in events}


def subscriber(port, server, topic, seen, name="reader", acknowledges=True):
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    client.manual_ack_set(not acknowledges)
    subscribed = threading.Event()
    client.on_message = lambda _c, _u, message: seen.append(json.loads(message.payload))
    client.on_subscribe = lambda *_: subscribed.set()
    context = ssl.create_default_context(cafile=str(server / "ca.pem"))
    client.tls_set_context(context)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 300
    client.connect("127.0.0.1", port, properties=properties, clean_start=False)
    client.loop_start()
    client.subscribe(topic, qos=1)
    assert subscribed.wait(30)
    return client


async def test_mqtt_arrives_whole_and_a_subscriber_that_was_away_gets_it(
    server, trusting, stranger, batch, signed_log
):
    seen: list = []
    with collectors.mqtt_broker(server) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(SinkFailed):
            MqttSink("siem", address, "framegate/ocsf", stranger).deliver(batch)
        sink = MqttSink("siem", address, "framegate/ocsf", trusting)
        with pytest.raises(SinkFailed, match="nobody subscribes"):  # N150: an ack, and dropped
            sink.deliver(batch[:1])
        reader = subscriber(port, server, "framegate/ocsf", seen)
        sink.deliver(batch[:20])
        await until(lambda: ids(seen) == {o.uid for o in batch[:20]})
        reader.disconnect()  # some that it saw it may not have acknowledged: they come again
        reader.loop_stop()
        sink.deliver(batch[20:])
        reader = subscriber(port, server, "framegate/ocsf", seen)
        await until(lambda: ids(seen) == {o.uid for o in batch})
        reader.disconnect()
        reader.loop_stop()
        sink.close()
    require_whole(signed_log, seen)


async def test_mqtt_that_was_read_and_not_acknowledged_comes_again(server, trusting, batch):
    """What a reader saw it may see twice: QoS 1, and its acknowledgement is on its way."""
    seen: list = []
    with collectors.mqtt_broker(server) as port:
        reader = subscriber(port, server, "framegate/ocsf", seen, acknowledges=False)
        sink = MqttSink("siem", f"127.0.0.1:{port}", "framegate/ocsf", trusting)
        sink.deliver(batch[:5])
        await until(lambda: len(seen) == 5)
        reader.disconnect()
        reader.loop_stop()
        reader = subscriber(port, server, "framegate/ocsf", seen)
        await until(lambda: len(seen) == 10)
        reader.disconnect()
        reader.loop_stop()
        sink.close()
    assert ids(seen) == {o.uid for o in batch[:5]}


def test_kafka_has_it_on_all_replicas_keyed_by_machine(tmp_path, batch, signed_log):
    kafka = pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    with collectors.kafka_cluster() as address:
        sink = KafkaSink(address, "ocsf", Credentials(tmp_path))
        sink.deliver(batch)
        sink.close()
        settings = {"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest"}
        reader = kafka.Consumer(settings)
        reader.subscribe(["ocsf"])
        messages: list = []
        for _ in range(60):
            messages += [m for m in reader.consume(200, timeout=0.5) if m.error() is None]
            if len(messages) >= len(batch):
                break
        reader.close()
    events = [json.loads(m.value()) for m in messages]
    assert [m.key().decode() for m in messages] == [e["device"]["uid"] for e in events]
    require_whole(signed_log, events)


def test_kafka_that_is_away_confirms_nothing(tmp_path, batch, monkeypatch):
    pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    monkeypatch.setattr("framegate_controller.sinks.kafka.FLUSH_S", 1.5)
    with pytest.raises(SinkFailed):
        KafkaSink("127.0.0.1:9", "ocsf", Credentials(tmp_path)).deliver(batch[:2])


@pytest.mark.parametrize("tls", [False, True])
def test_otlp_over_grpc_arrives_whole(server, trusting, tmp_path, batch, signed_log, tls):
    plain = Credentials(tmp_path / "nothing")
    with collectors.otlp_server(server, tls=tls) as (service, address):
        sink = OtlpGrpcSink(address, trusting if tls else plain)
        sink.deliver(batch)
        sink.close()
    bodies = [json.loads(r.body.string_value) for r in service.records]
    require_whole(signed_log, bodies)
    assert {r.severity_number for r in service.records} == {17}
    assert service.records[0].event_name == "framegate.quarantine"


def test_n150_otlp_says_what_is_lost_and_what_may_come_again(server, tmp_path, batch):
    with collectors.otlp_server(server, tls=False) as (service, address):
        sink = OtlpGrpcSink(address, Credentials(tmp_path / "nothing"))
        service.reject = {"plant:5"}
        answer = delivered(sink, batch)
        assert [(r.first, r.why) for r in answer.refusals] == [(5, "1 records rejected: odd")]
        assert len(service.records) == len(batch) - 1
        service.reject = set()
        for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED):
            service.code = code
            assert delivered(sink, batch).confirmed == 0
        service.code = grpc.StatusCode.INVALID_ARGUMENT
        assert delivered(sink, batch).wholly
        sink.close()


def test_otlp_over_tls_of_a_stranger_gets_nothing(server, stranger, batch):
    with collectors.otlp_server(server, tls=True) as (service, address):
        with pytest.raises(SinkFailed):
            OtlpGrpcSink(address, stranger).deliver(batch)
        assert service.records == []


def test_https_to_whom_the_sink_trusts_alone(server, trusting, stranger, batch, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "ca.pem", server / "key.pem")
    with serving(lambda *_: (200, {}, {}), context) as stub:
        WebhookSink(stub.address, trusting).deliver(batch)
        assert len(stub.requests) == 1
        for wrong in (stranger, Credentials(tmp_path / "nothing")):
            with pytest.raises(SinkFailed, match="SSL"):
                WebhookSink(stub.address, wrong).deliver(batch)
        assert len(stub.requests) == 1


def test_a_plain_answer_where_tls_is_wanted_is_refused(trusting, batch):
    with serving(lambda *_: (200, {}, {})) as stub:
        port = int(stub.address.rsplit(":", 1)[1])
        for sink in (
            SyslogSink(f"127.0.0.1:{port}", trusting),
            MqttSink("siem", f"127.0.0.1:{port}", "x", trusting),
            WebhookSink(f"https://127.0.0.1:{port}", trusting),
        ):
            with pytest.raises(SinkFailed):
                sink.deliver(batch[:1])
        assert stub.requests == []


@contextlib.contextmanager
def collector(kind, server):
    """(address, what says how many came) of a real collector, or the official stubs'."""
    if kind == "syslog":
        out = server / "out"
        with collectors.rsyslog(server, out) as port:
            yield f"127.0.0.1:{port}", lambda: out.exists() and out.read_bytes().count(b"\n")
    elif kind == "mqtt":
        seen: list = []
        with collectors.mqtt_broker(server) as port:
            reader = subscriber(port, server, "ocsf", seen)
            yield f"127.0.0.1:{port}", lambda: len(ids(seen))
            reader.disconnect()
            reader.loop_stop()
    elif kind == "otlp":
        with collectors.otlp_server(server, tls=True) as (service, address):
            yield address, lambda: len(service.records)
    else:
        with collectors.kafka_cluster() as address:
            yield address, lambda: 2


@pytest.mark.parametrize("kind", ["syslog", "mqtt", "otlp", "kafka"])
async def test_n150_each_library_does_its_work_in_its_cage(kind, server, trusting, signed_log):
    """The process as the controller starts it: two batches, over one connection."""
    folder = trusting.folder if kind != "kafka" else trusting.folder / "plain"
    raws = signed_log.entries
    with collector(kind, server) as (address, came):
        setup = SinkSetup(
            name="siem",
            kind=SinkKind(kind),
            address=address,
            channel="ocsf",
            version=OcsfVersion.V1_8,
            fleet="plant",
            folder=str(folder),
        )
        process = await SinkProcess.spawn(setup)
        try:
            for index in (0, 1):
                batch = NextBatch(index, (BatchEntry(raws[index]),), frozenset())
                answer = await process.deliver(batch)
                assert (answer.confirmed, answer.failed) == (index + 1, "")
            await until(lambda: came() == 2)
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
        finally:
            process.end()
