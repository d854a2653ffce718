"""N120, N123, N128, N129, N134, N146: the running line: adapter, broker, gateway, and a PLC that
hears signed decisions.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Final

import grpc
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.identity.pem import private_pem
from framegate_host.broker_client import BoundedClient, ClientLimits
from framegate_host.broker_tls import broker_context
from framegate_line.rules import MATCH_SLACK_MS
from framegate_operator.broker_config import PACKET_BYTES
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.conversation import head
from framegate_simulators.attack.floor import DEADLINE_MS, GATEWAY, LINE, Floor, picture
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt
from framegate_simulators.fixtures.access import certificate_request
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.processes import BIN, PlantError, answers, free_port, wait_for

BROKER: Final = "broker.plant.framegate"
BOUND: Final = "use_username_as_clientid true"
HEALED_S: Final = 60.0
UNHEARD: Final = "no decision heard"
NOT_YET: Final = (RuntimeError, TimeoutError, FramegateError, grpc.RpcError)
"""No grant, or one of the process that was killed, no stream, no decision: a camera tries again."""
LIMITS: Final = ClientLimits(packet=1 << 20, unacknowledged=64, waiting=64)


@attempt(
    "N123",
    "kill -9 of adapter, broker and gateway, each with a part on the belt and no picture of it",
    control="part",
)
def n123(t: Target) -> Seen:
    floor, plant = t.once(Floor), t.plant
    seen = []
    for name, again in (
        (f"line-{LINE}", floor.start_line),
        ("broker", plant.restart_broker),
        (f"gateway-{floor.gateway.name}", floor.start_gateway),
    ):
        part = floor.part()
        floor.plc.trigger(part)
        plant.stop(name, signal.SIGKILL)
        opens = floor.plc.permits(part)
        again()
        healed, decision = _healed(floor), _heard(floor, part)
        opens = opens or floor.plc.permits(part)
        seen.append((name.split("-")[0], decision, opens, healed))
    return Seen(
        all(d in {"UNINSPECTED", UNHEARD} and not opens and ok for _, d, opens, ok in seen),
        "; ".join(
            f"{n}: {d}{', DIVERTER OPENED' if o else ''}{'' if h else ', NEVER HEALED'}"
            for n, d, o, h in seen
        ),
    )


def _heard(floor: Floor, part: Part) -> str:
    """The decision on a part. A PLC that was away from the broker may have missed it: its diverter
    stays closed.
    """
    try:
        return floor.decided(part, 2 * DEADLINE_MS / 1000)
    except PlantError:
        return UNHEARD


def _healed(floor: Floor) -> bool:
    end = time.monotonic() + HEALED_S
    while time.monotonic() < end:
        try:
            if floor.passes() == "PASS":
                return True
        except NOT_YET:
            continue
    return False


@attempt(
    "N128",
    "a PASS from before its part's trigger, and a number that comes again at once with the PASS of"
    " the first",
    control="part",
)
def n128(t: Target) -> Seen:
    floor = t.once(Floor)
    early = floor.part()
    photographed = floor.photographed(early)
    time.sleep(MATCH_SLACK_MS / 1000 + 1)  # the attack itself: the verdict is kept back
    late = floor.part(part=early.part, sequence=early.sequence)
    floor.plc.trigger(late)
    kept = floor.decided(late)
    first = floor.part()
    floor.plc.trigger(first)
    sound = floor.photographed(first), floor.decided(first)
    again = floor.part(part=first.part, sequence=first.sequence)
    floor.plc.trigger(again)
    key = (again.part, again.sequence)
    wait_for("its decision", lambda: floor.plc.decisions[key] != "PASS", TIMEOUT_S)
    opens = [floor.plc.permits(p) for p in (late, again)]
    return Seen(
        photographed == "PASS"
        and kept == floor.plc.decisions[key] == "UNINSPECTED"
        and sound == ("PASS", "PASS")
        and not any(opens),
        f"early: {photographed}, then {kept}; again: {floor.plc.decisions[key]}",
    )


@attempt(
    "N129",
    "the PASS of a part of one type for a part of another that has its number",
    control="part",
)
def n129(t: Target) -> Seen:
    floor = t.once(Floor)
    part = floor.part(part_type="drawn-2")
    floor.plc.trigger(part)
    photographed, decision = floor.photographed(part), floor.decided(part)
    opens = floor.plc.permits(part)
    return Seen(
        (photographed, decision, opens) == ("PASS", "UNINSPECTED", False),
        f"the frame of the other type: {photographed}; the part: {decision}",
    )


class BrokerClient:
    """A client of the broker with a camera's certificate and any client id."""

    def __init__(self, t: Target, name: str, port: int = 0) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        camera = t.once(Floor).camera
        with t.fleet_channel(camera.pair) as channel:
            request = pb.BrokerCertificateRequest(csr=certificate_request(key))
            leaf = rpc.FleetStub(channel).BrokerCertificate(request, timeout=TIMEOUT_S)
        from cryptography import x509

        chain = private_pem(key) + b"".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
            for der in (leaf.certificate, leaf.issuer)
        )
        roots = t.keys.issuing["server-ca"].pem + t.keys.root.pem
        context = broker_context(BROKER, roots, chain)
        self.gone, connected = threading.Event(), threading.Event()
        self.messages: list[Any] = []
        self.client: mqtt.Client = BoundedClient(name, context, LIMITS, reconnect_on_failure=False)
        self.client.on_connect = lambda *_: connected.set()
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_message = lambda _c, _u, m: self.messages.append(m)
        self.client.connect("127.0.0.1", port or t.plant.broker_port, 10)
        self.client.loop_start()
        if not connected.wait(TIMEOUT_S):
            raise RuntimeError("the broker does not take a sound certificate")

    def close(self) -> None:
        """Go away."""
        self.client.disconnect()
        self.client.loop_stop()


@attempt(
    "N134",
    "a camera's certificate takes the adapter's client id over, and says triggers; a broker where"
    " ids are chosen",
    control="part",
)
def n134(t: Target) -> Seen:
    floor, plant = t.once(Floor), t.plant
    connected = plant.log_tail(f"line-{LINE}", 10_000).count("lost")
    taker = BrokerClient(t, f"line.{LINE}")
    ghost = floor.part()
    topic = f"framegate/v1/lines/{LINE}"
    taker.client.subscribe(f"{topic}/#", qos=1)
    body = b'{"part":"%s","part_type":"drawn-1","trigger_sequence":%d}'
    taker.client.publish(f"{topic}/triggers", body % (ghost.part.encode(), ghost.sequence), qos=1)
    meanwhile = floor.passes()
    taken = plant.log_tail(f"line-{LINE}", 10_000).count("lost") != connected
    heard = len(taker.messages)
    entered = (ghost.part, ghost.sequence) in floor.plc.decisions
    taker.close()
    free = _refused_broker(t)
    return Seen(
        meanwhile == "PASS" and not (taken or heard or entered) and "broker-client-ids" in free,
        f"the adapter stays, a part meanwhile: {meanwhile}; it heard {heard};"
        f" ids are chosen: {free}",
    )


def _refused_broker(t: Target) -> str:
    """What an adapter says to the same broker without the line that binds ids."""
    folder, port = t.plant.folder / "broker", free_port()
    text = (folder / "mosquitto.conf").read_text()
    if BOUND not in text:
        return "the broker's configuration never bound ids"
    text = text.replace(BOUND, "").replace(str(t.plant.broker_port), str(port))
    (folder / "free.conf").write_text(text)
    t.plant.start("broker-free", t.plant.mosquitto(), "-c", folder / "free.conf")
    t.plant.wait_until_up("broker-free", lambda: answers(port))
    try:
        return _adapter(t, port)
    finally:
        t.plant.stop("broker-free")


def _adapter(t: Target, port: int) -> str:
    plant = t.plant
    argv = ["run", "--line", LINE, "--credentials", plant.line_keys(LINE)]
    argv += ["--ledger", plant.folder / "ledger-free" / "ledger.db", "--output", "mqtt"]
    argv += ["--camera", t.once(Floor).camera.device]
    argv += ["--broker", f"127.0.0.1:{port}", "--broker-name", BROKER]
    program = subprocess.Popen(
        [str(Path(BIN) / "framegate-line"), *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = program.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        program.kill()
        said, _ = program.communicate()
        return f"IT SERVES: {said[-200:]}"
    return next((w for w in ("broker-client-ids",) if w in said), said[-200:])


@attempt(
    "N146",
    "a packet of 33 MiB, larger than any frame, from a camera's certificate at the broker",
    control="part",
)
def n146(t: Target) -> Seen:
    floor = t.once(Floor)
    camera = floor.camera.device
    client = BrokerClient(t, camera)
    topic = f"framegate/v1/frames/{camera}/{GATEWAY}/{1:016x}"
    client.client.publish(topic, bytes(1 << 20), qos=1).wait_for_publish(TIMEOUT_S)
    sound = not client.gone.is_set()
    client.client.publish(topic, bytes(PACKET_BYTES + 1), qos=1)
    hung_up = client.gone.wait(HEALED_S)
    client.close()
    after = floor.passes()
    return Seen(
        sound and hung_up and after == "PASS",
        f"a sound packet is taken; {'hung up on' if hung_up else 'TAKEN'}; a part after: {after}",
    )


@attempt(
    "N120",
    "kill -9 of the gateway right behind each of three verdicts: has each a receipt?",
    control="frame",
)
def n120(t: Target) -> Seen:
    floor, left = t.once(Floor), []
    for _ in range(3):
        with floor.conversation() as talk:
            session = talk.open()
            number = next(floor.numbers)
            image = picture(number)
            talk.send(frame=session.seal(head(number, image), image))
            left.append(talk.verdict().verdict_id)
            t.plant.stop(f"gateway-{floor.gateway.name}", signal.SIGKILL)
        floor.start_gateway()
        wait_for("frames again", floor.serves, HEALED_S)
    missing = [v for v in left if not _receipt(t, v)]
    return Seen(
        not missing, f"{len(left)} verdicts left, {len(left) - len(missing)} have a receipt"
    )


def _receipt(t: Target, verdict_id: str) -> bool:
    end = time.monotonic() + HEALED_S
    while time.monotonic() < end:
        done = t.plant.framegate("receipt", "show", verdict_id, check=False)
        if done.returncode == 0:
            return True
    return False
