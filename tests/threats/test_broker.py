"""N134, N146: client ids that another name takes over, and a broker that sends without end."""

import asyncio
import threading

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.payload.kinds import BUILT_IN
from framegate.wire import MAX_FRAME_BYTES
from framegate_gateway.ports import mqtt_frames
from framegate_gateway.ports.conversation import MAX_IN_FLIGHT
from framegate_gateway.ports.mqtt_frames import MAX_LINKS, MAX_LINKS_CAMERA, MqttFrames
from framegate_host import broker_probe
from framegate_host.broker_client import BoundedClient, Broker, ClientLimits, HandOver
from framegate_host.broker_probe import require_bound_ids
from framegate_line.broker import MAX_PAYLOAD, MAX_TRIGGER, LineBroker
from framegate_line.rules import Rules
from framegate_operator.broker_config import BrokerFiles, mosquitto_conf
from framegate_proto.v1 import framegate_pb2 as pb
from support.frames import CAMERA
from support.refusals import refused

GATEWAY = "gateway.line-1.gw1"
SMALL = ClientLimits(packet=70_000, unacknowledged=8, waiting=8)


@pytest.mark.parametrize("session_s", [0, 3600])
@pytest.mark.parametrize("ids", ["bound", "refused"])
def test_n134_brokers_that_bind_ids_to_names(fake_broker, ids, session_s):
    fake_broker.ids = ids
    require_bound_ids(fake_broker.broker, fake_broker.context(), session_s=session_s)


@pytest.mark.parametrize("session_s", [0, 3600])
def test_n134_a_broker_where_ids_are_chosen_is_refused_with_what_to_do(fake_broker, session_s):
    with pytest.raises(FramegateError) as caught:
        require_bound_ids(fake_broker.broker, fake_broker.context(), session_s=session_s)
    [failure] = caught.value.failures
    assert failure.reason == Reason.BROKER
    assert "use_username_as_clientid true" in failure.hint
    assert "framegate broker config" in failure.hint


@pytest.mark.parametrize("ids", ["full", "deaf", "fickle"])
def test_n134_a_broker_that_says_nothing_of_ids_is_not_taken_for_a_sound_one(
    fake_broker, ids, monkeypatch
):
    """Full is not refused for its id; a broker that goes away ends both connections."""
    monkeypatch.setattr(broker_probe, "ANSWER_S", 1.0)
    fake_broker.ids = ids
    with pytest.raises(Unavailable) as caught:
        require_bound_ids(fake_broker.broker, fake_broker.context())
    assert caught.value.reason == Reason.UNAVAILABLE


def test_n134_nobody_at_the_address():
    import ssl

    context = ssl.create_default_context()
    with pytest.raises(Unavailable):
        require_bound_ids(Broker("127.0.0.1", 1), context)


def test_n134_n146_the_configuration_binds_ids_and_bounds_what_a_broker_takes(tmp_path):
    files = BrokerFiles(folder=tmp_path, name="broker", acl=tmp_path / "acl")
    lines = mosquitto_conf(files, ("", 8883)).splitlines()
    options = dict(line.partition(" ")[::2] for line in lines if line and line[0] != "#")
    assert options["use_username_as_clientid"] == options["require_certificate"] == "true"
    assert options["use_identity_as_username"] == "true"
    assert options["allow_anonymous"] == "false" and "allow_zero_length_clientid" not in options
    assert int(options["max_packet_size"]) > MAX_FRAME_BYTES
    for bound in ("connections", "inflight_messages", "queued_messages", "queued_bytes"):
        assert int(options[f"max_{bound}"]) > 0  # zero and -1 are no limit
    assert int(options["memory_limit"]) > int(options["max_queued_bytes"])
    assert options["retain_available"] == options["persistence"] == "false"
    assert options["queue_qos0_messages"] == "false" and options["max_topic_alias"] == "0"
    assert options["persistent_client_expiration"] == "1d" and options["max_qos"] == "1"


@pytest.mark.parametrize("size", [70_001, 200 * 1024 * 1024])
def test_n146_a_client_hangs_up_on_a_packet_larger_than_it_takes(fake_broker, size):
    fake_broker.flood = size
    client = BoundedClient("line.press-7", fake_broker.context(), SMALL, reconnect_on_failure=False)
    arrived, gone = [], threading.Event()
    client.on_message = lambda _c, _u, message: arrived.append(message)
    client.on_disconnect = lambda *_: gone.set()
    client.connect(*_at(fake_broker.broker))
    client.loop_start()
    assert gone.wait(10)
    client.loop_stop()
    assert not arrived and len(client._in_packet["packet"]) <= SMALL.packet


def test_n146_a_client_takes_what_fits_and_says_what_does(fake_broker):
    fake_broker.flood = SMALL.packet
    client = BoundedClient("line.press-7", fake_broker.context(), SMALL, reconnect_on_failure=False)
    said = client.properties(3600)
    assert (said.MaximumPacketSize, said.ReceiveMaximum, said.SessionExpiryInterval) == (
        SMALL.packet,
        SMALL.unacknowledged,
        3600,
    )
    came = threading.Event()
    client.on_message = lambda *_: came.set()
    client.connect(*_at(fake_broker.broker))
    client.loop_start()
    assert came.wait(10)
    client.disconnect()
    client.loop_stop()


def _at(broker: Broker) -> tuple[str, int, int]:
    return broker.host, broker.port, 5


async def test_n146_what_waits_for_the_event_loop_is_bounded():
    hand_over, came = HandOver(asyncio.get_running_loop(), 2, 0.05), []

    def flood() -> list[bool]:
        return [hand_over(came.append, n) for n in range(4)]

    thread: list[bool] = []
    worker = threading.Thread(target=lambda: thread.extend(flood()))
    worker.start()
    worker.join(10)  # the loop is held up meanwhile, on purpose
    assert thread == [True, True, False, False]
    await asyncio.sleep(0)
    assert came == [0, 1]
    assert await asyncio.to_thread(hand_over, came.append, 4)


def test_n146_a_loop_that_has_ended_gets_nothing():
    loop = asyncio.new_event_loop()
    loop.close()
    assert not HandOver(loop, 1, 0.05)(print)


class Board:
    """The publisher's side of `MqttFrames`: what came in, what went out."""

    def __init__(self) -> None:
        self.arrived = None
        self.sent: list[str] = []

    def hear(self, _topic: str, arrived) -> None:
        self.arrived = arrived

    def send(self, topic: str, _payload: bytes) -> None:
        self.sent.append(topic)


class Keys:
    class credentials:
        device = GATEWAY


class Talk:
    """Conversations that read until they are told to end, or nothing at all."""

    kinds = BUILT_IN

    def __init__(self) -> None:
        self.begun, self.ended, self.read = 0, 0, False

    async def converse(self, _link, read, _write) -> None:
        self.begun += 1
        try:
            while self.read and await read() is not None:
                pass
            await asyncio.Event().wait()
        finally:
            self.ended += 1


@pytest.fixture
async def port():
    board, talk = Board(), Talk()
    frames = MqttFrames(Keys(), None, talk, board)
    yield frames, board, talk
    for task in list(frames._tasks):
        task.cancel()
    await asyncio.gather(*frames._tasks, return_exceptions=True)


HELLO = pb.CameraMessage(hello=b"a certificate").SerializeToString()


async def arrive(board: Board, topic: str, payload: bytes = HELLO) -> None:
    await asyncio.to_thread(board.arrived, topic, payload)
    for _ in range(3):  # the conversation's task begins, and reads its first message
        await asyncio.sleep(0)


def topic(camera: str = "camera.line-1.cam1", link: int = 1, gateway: str = GATEWAY) -> str:
    return f"framegate/v1/frames/{camera}/{gateway}/{link:016x}"


@pytest.mark.parametrize(
    "name",
    [
        "framegate/v1/frames",
        "x",
        topic() + "/more",
        topic(gateway="gateway.line-1.gw2"),
        topic(camera="camera.line-1.cam1/+"),
        topic(camera="#"),
        topic(camera="c" * 201),
        topic(camera="../.."),
        f"framegate/v1/frames/camera.line-1.cam1/{GATEWAY}/not-a-link",
        f"framegate/v1/frames/camera.line-1.cam1/{GATEWAY}/{'0' * 4000}",
        f"framegate/v1/verdicts/camera.line-1.cam1/{GATEWAY}/{1:016x}",
    ],
)
async def test_n146_topics_that_no_camera_of_ours_writes(port, name):
    frames, board, talk = port
    await arrive(board, name)
    assert not frames._links and not talk.begun


async def test_n146_a_conversation_is_whose_certificate_its_topic_names(door):
    """Else one camera's conversations would be counted as another's."""
    frames = MqttFrames(door.keys, door.view, Talk(), Board())
    hello = pb.CameraMessage(hello=door.certificate.public_bytes(Encoding.DER))
    assert frames._link(hello, CAMERA).device == CAMERA
    none = pb.CameraMessage()
    for first, camera in ((hello, "camera.line-1.cam2"), (None, CAMERA), (none, CAMERA)):
        with pytest.raises(Refused) as said:
            frames._link(first, camera)
        assert said.value.reason == Reason.UNAUTHENTICATED


async def test_n146_conversations_of_one_camera_and_of_all_are_bounded(port):
    frames, board, _ = port
    for link in range(MAX_LINKS_CAMERA + 5):
        await arrive(board, topic(link=link))
    assert len(frames._links) == MAX_LINKS_CAMERA
    for number in range(MAX_LINKS + 5):
        await arrive(board, topic(camera=f"camera.line-1.c{number}"))
    assert len(frames._links) == MAX_LINKS


async def test_n146_messages_that_wait_in_a_conversation_are_bounded(port):
    frames, board, talk = port
    await arrive(board, topic())
    for _ in range(2 * MAX_IN_FLIGHT):
        await arrive(board, topic())
        assert frames._links and talk.begun == 1
    await arrive(board, topic())
    assert not frames._links


async def test_n146_bytes_that_wait_in_all_conversations_are_bounded(port, monkeypatch):
    frames, board, _ = port
    monkeypatch.setattr(mqtt_frames, "MAX_WAITING_BYTES", 1000)
    for link in range(1, 5):
        await arrive(board, topic(link=link))
    await arrive(board, topic(link=1), bytes(600))
    await arrive(board, topic(link=2), bytes(300))
    await arrive(board, topic(link=3), bytes(200))
    assert links(frames) == {1, 2, 4}
    await arrive(board, topic(link=1), bytes(200))
    assert links(frames) == {2, 4}
    await arrive(board, topic(link=4), bytes(700))  # what had ended holds nothing any more
    assert links(frames) == {2, 4}


def links(frames: MqttFrames) -> set[int]:
    return {int(name.split("/")[1], 16) for name in frames._links}


class Message:
    def __init__(self, topic: str, size: int, retain: bool = False) -> None:
        self.topic, self.payload, self.retain, self.mid, self.qos = topic, bytes(size), retain, 7, 1


class Acks:
    def __init__(self) -> None:
        self.taken: list[int] = []

    def ack(self, mid: int, _qos: int) -> None:
        self.taken.append(mid)


class AnyCredentials:
    def context(self, _name: str):
        import ssl

        return ssl.create_default_context()


@pytest.mark.parametrize(
    "message",
    [
        Message("framegate/v1/lines/press-7/triggers", MAX_TRIGGER + 1),
        Message("framegate/v1/lines/press-7/triggers", 10, retain=True),
        Message("framegate/v1/verdicts/g/c", MAX_PAYLOAD + 1),
        Message("framegate/v1/verdicts/g/c", 10, retain=True),
    ],
    ids=["large trigger", "retained trigger", "large verdict", "retained verdict"],
)
async def test_n146_a_line_reads_nothing_that_is_too_large_or_retained(message):
    verdicts = []
    rules = Rules("press-7", "line-1", ("camera.line-1.cam1",), deadline_ms=1000, stop_after=3)
    link = LineBroker(rules, AnyCredentials(), "127.0.0.1:1", "x", verdicts.append)
    acks = Acks()
    await asyncio.to_thread(link._message, acks, message)
    await asyncio.sleep(0)
    assert acks.taken == [7] and not verdicts and link._queue.empty()


@pytest.mark.parametrize("address", ["", "broker", ":8883", "broker:", "broker:x"])
def test_addresses_that_are_no_brokers(address):
    assert refused(lambda: Broker.parse(address)) == Reason.USAGE
