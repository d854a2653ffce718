"""N134, N146 with a real mosquitto whose configuration Framegate wrote."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate_agent.camera.carrier import BrokerAddress
from framegate_agent.camera.mqtt import BrokerClient
from framegate_controller.ca import issue
from framegate_controller.ca.template import leaf_template
from framegate_host.broker_client import BoundedClient, ClientLimits
from framegate_host.broker_probe import require_bound_ids
from framegate_host.broker_tls import broker_context
from framegate_line.broker import SESSION_S
from framegate_operator.broker_config import PACKET_BYTES
from framegate_proto.v1 import framegate_pb2 as pb
from support.mosquitto import CAMERA, GATEWAY, NAME

PEM, DER = Encoding.PEM, Encoding.DER
LIMITS = ClientLimits(packet=1 << 20, unacknowledged=64, waiting=64)
BOUND = "use_username_as_clientid true"
TRIGGERS = "framegate/v1/lines/press-7/triggers"
WAIT_S = 30.0
"""For what comes at once, on a machine that may be busy."""


class Client:
    """A client that tells what happens to it."""

    def __init__(self, broker, context, name: str, session_s: int = 0, **how) -> None:
        self.connected, self.gone, self.subscribed = (threading.Event() for _ in range(3))
        self.came, self.messages = threading.Event(), []
        self.client = BoundedClient(name, context, LIMITS, reconnect_on_failure=False, **how)
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_message = lambda _c, _u, m: (self.messages.append(m), self.came.set())
        at = broker.broker
        self.client.connect(
            at.host,
            at.port,
            10,
            clean_start=not session_s,
            properties=self.client.properties(session_s),
        )
        self.client.loop_start()
        assert self.connected.wait(WAIT_S)

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        assert self.subscribed.wait(WAIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_n134_the_generated_broker_passes_the_probe(mosquitto):
    mosquitto.start()
    for context in (mosquitto.line_context(), mosquitto.camera_context()):
        require_bound_ids(mosquitto.broker, context)


@pytest.mark.parametrize("session_s", [0, SESSION_S])
def test_n134_without_bound_ids_the_probe_refuses_the_broker_and_leaves_no_session(
    mosquitto, session_s
):
    mosquitto.start(BOUND)
    with pytest.raises(FramegateError) as caught:
        require_bound_ids(mosquitto.broker, mosquitto.line_context(), session_s=session_s)
    assert caught.value.reason == Reason.BROKER


def test_n134_a_cameras_certificate_throws_no_adapter_off(mosquitto):
    mosquitto.start()
    adapter = Client(mosquitto, mosquitto.line_context(), "line.press-7", SESSION_S)
    adapter.subscribe(TRIGGERS)
    camera = Client(mosquitto, mosquitto.camera_context(), "line.press-7", SESSION_S)
    assert not adapter.gone.wait(1)
    plc = Client(mosquitto, mosquitto.line_context("press-7-plc"), "line.press-7-plc")
    plc.client.publish(TRIGGERS, b"{}", qos=1)
    assert adapter.came.wait(WAIT_S) and not camera.messages
    for client in (adapter, camera, plc):
        client.close()


def test_n134_the_attack_works_without_bound_ids(mosquitto):
    """The control: what the probe refuses is real."""
    mosquitto.start(BOUND)
    adapter = Client(mosquitto, mosquitto.line_context(), "line.press-7", SESSION_S)
    camera = Client(mosquitto, mosquitto.camera_context(), "line.press-7", SESSION_S)
    assert adapter.gone.wait(WAIT_S)
    camera.close()


def test_n134_the_probe_loses_no_trigger_that_waits_for_the_adapter(mosquitto):
    mosquitto.start()
    adapter = Client(mosquitto, mosquitto.line_context(), "line.press-7", SESSION_S)
    adapter.subscribe(TRIGGERS)
    adapter.close()
    plc = Client(mosquitto, mosquitto.line_context("press-7-plc"), "line.press-7-plc")
    for number in range(3):
        plc.client.publish(TRIGGERS, str(number).encode(), qos=1).wait_for_publish(WAIT_S)
    context = mosquitto.line_context()
    require_bound_ids(mosquitto.broker, context, session_s=SESSION_S)
    back = Client(mosquitto, context, "line.press-7", SESSION_S)
    end = threading.Event()
    while len(back.messages) < 3 and not end.wait(0.05):
        assert not back.gone.is_set()
    assert sorted(m.payload for m in back.messages) == [b"0", b"1", b"2"]
    for client in (back, plc):
        client.close()


def test_n146_the_broker_hangs_up_on_a_packet_that_is_too_large(mosquitto):
    mosquitto.start()
    camera = Client(mosquitto, mosquitto.camera_context(), CAMERA)
    topic = f"framegate/v1/frames/{CAMERA}/{GATEWAY}/{1:016x}"
    camera.client.publish(topic, bytes(1 << 20), qos=1).wait_for_publish(WAIT_S)
    assert not camera.gone.is_set()
    camera.client.publish(topic, bytes(PACKET_BYTES + 1), qos=1)
    assert camera.gone.wait(WAIT_S)
    camera.close()


class Grants:
    host = GATEWAY


async def test_n134_conversations_of_one_camera_share_its_one_connection(mosquitto, keys):
    """Ids bound to names leave a camera one connection, however many sources it has."""
    mosquitto.start()
    certified = 0

    async def certify(csr: bytes) -> tuple[bytes, bytes]:
        nonlocal certified
        certified += 1
        leaf = issue.issue_broker_client(keys, CAMERA, csr, timedelta(minutes=5), datetime.now(UTC))
        return leaf.public_bytes(DER), keys.issuing["broker-ca"].der

    gateway = Client(mosquitto, gateway_context(mosquitto, keys), GATEWAY)
    gateway.client.on_message = lambda client, _u, m: client.publish(
        m.topic.replace(f"frames/{CAMERA}/{GATEWAY}", f"answers/{GATEWAY}/{CAMERA}"),
        pb.GatewayMessage(offer=m.payload).SerializeToString(),
        qos=1,
    )
    gateway.subscribe(f"framegate/v1/frames/+/{GATEWAY}/+")
    address = BrokerAddress(f"127.0.0.1:{mosquitto.port}", NAME)
    server_ca = keys.issuing["server-ca"].pem + keys.root.pem
    broker = BrokerClient(address, CAMERA, lambda: server_ca, certify)
    certificate = keys.root.certificate
    async with broker.to(Grants, certificate) as first, broker.to(Grants, certificate) as second:
        for carrier in (first, second):
            message = await asyncio.wait_for(carrier.read(), WAIT_S)
            assert pb.CameraMessage.FromString(message.offer).hello
        await first.write(pb.CameraMessage(renew=pb.Renew()))
        assert await asyncio.wait_for(first.read(), WAIT_S)
        mosquitto.stop()
        for carrier in (first, second):
            with pytest.raises(FramegateError):
                await asyncio.wait_for(carrier.read(), WAIT_S)
    assert certified == 1
    mosquitto.start(BOUND)
    with pytest.raises(FramegateError) as caught:
        async with broker.to(Grants, certificate):
            pass
    assert caught.value.reason == Reason.BROKER and certified == 2
    gateway.close()


def gateway_context(mosquitto, keys):
    key = ec.generate_private_key(ec.SECP256R1())
    life, now = timedelta(minutes=5), datetime.now(UTC)
    said = leaf_template(Purpose.GATEWAY, GATEWAY, key.public_key(), life, now)
    leaf = issue.certify(keys.issuing["gateway-ca"], said)
    chain = private_pem(key) + leaf.public_bytes(PEM) + keys.issuing["gateway-ca"].pem
    return broker_context(NAME, keys.issuing["server-ca"].pem + keys.root.pem, chain)
