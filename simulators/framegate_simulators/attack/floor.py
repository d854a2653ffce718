"""A running line in the target's fleet: broker, a gateway on its own swtpm, a line adapter, a PLC
that hears decisions; and a camera whose TPM is software, so that every frame of it can be broken.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from framegate.errors import FramegateError
from framegate.identity.certificates import from_ms, spki_of
from framegate.signed.statement import Verdict, verify_verdict
from framegate_agent.camera.session import AskedGrant, HeldGrant, hold_grant
from framegate_agent.camera.sources import encoded
from framegate_host.private_files import private_folder
from framegate_operator.connection import gateway_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.conversation import Conversation, head
from framegate_simulators.attack.target import TIMEOUT_S, Target
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import part_type
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.mqtt_diverter import LineKeys, MqttDiverter
from framegate_simulators.plant.processes import free_port, wait_for

LINE: Final = "press-9"
GATEWAY: Final = "gateway.line-1.gw1"
DESIGN: Final = 1
DEADLINE_MS: Final = 3_000
"""Longer than any inspection on a machine that is busy with attacks."""
FRESH_S: Final = 45.0
"""A camera attests anew after this: its certificate lives for three intervals of 60 s."""
QUOTA_MIB: Final = 1
"""For the receipts of one camera: the least there is, so that a flood reaches it."""
START_S: Final = 90.0
LIFE_S: Final = 150.0
"""Its certificate ends soon after."""
GRANT_S: Final = 60.0
"""A gateway that was killed has a grant again once its host has attested its new process."""


class ForgedCamera:
    """A machine of the fleet whose every statement can be broken, as the gateway's camera."""

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        self.forge, self.device, self.certificate = target.enrol(name=name)
        self._since_s = time.monotonic()

    def sign_with_tls_key(self, message: bytes) -> bytes:
        """In place of its TPM."""
        return self.forge.tls.private.sign(message, ec.ECDSA(hashes.SHA256()))

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Its TLS key and chain, in PEM; attests anew where the certificate is old."""
        if time.monotonic() - self._since_s > FRESH_S:
            self.attest()
        return self._target.pair(self.forge, self.certificate)

    def attest(self) -> None:
        """Prove itself anew; by its TPM and without a ticket where its certificate has ended.
        Raises RuntimeError where that is refused.
        """
        if time.monotonic() - self._since_s < LIFE_S:
            answer = self._target.attest(self.forge, self.certificate, known_log=True)
        else:
            answer = self._target.join(self.forge)
        if answer.certificate is None:
            raise RuntimeError(f"the target refuses sound evidence: {answer}")
        self.certificate, self._since_s = answer.certificate, time.monotonic()

    def ended(self) -> None:
        """Its certificate counts for nothing any more: the controller is another."""
        self._since_s = float("-inf")

    def lease(self, wait_s: float = GRANT_S) -> HeldGrant:
        """A grant for the gateway, verified as a camera does; asked for again, as cameras do, where
        there is none yet. Raises RuntimeError where none comes.
        """
        end = time.monotonic() + wait_s
        while True:
            try:
                return self._lease()
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def _lease(self) -> HeldGrant:
        context, nonce, drawn = self._target.context, secrets.token_bytes(32), time.monotonic()
        with self._target.fleet_channel(self.pair) as channel:
            request = pb.FetchGrantsRequest(nonce=nonce)
            reply = rpc.FleetStub(channel).FetchGrants(request, timeout=TIMEOUT_S)
        if not reply.grants:
            raise RuntimeError(f"no grant: {[f.reason for f in reply.failures]}")
        return hold_grant(
            reply.grants[0],
            AskedGrant(self.device, nonce, drawn),
            self._target.keys.intermediates,
            context.root_certificate,
            time.time_ns() // 1_000_000,
        )

    @property
    def spki(self) -> bytes:
        """The public key that the controller knows."""
        key = self.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return spki_of(key)


class Floor:
    """What runs. `close` ends the PLC; the plant ends the rest."""

    def __init__(self, target: Target) -> None:
        self._target, p = target, target.plant
        self.numbers = iter(range(1, 2**31))
        self.inference_port = free_port()
        self.models = private_folder(p.folder / "models")
        p.start_broker()
        p.write_golden([DESIGN])
        self.gateway = p.add_machine("gw1", "gateway")
        p.join(self.gateway, p.invite(self.gateway))
        p.start_agent(self.gateway)
        wait_for("the agent's socket", p.agent_socket(self.gateway).exists, START_S)
        self.start_gateway()
        self.camera, self.other = (ForgedCamera(target, n) for n in ("cam1", "cam2"))
        wait_for("the gateway to inspect a frame", self.serves, START_S)
        p.lines.append(LINE)
        p.write_broker_acl()
        self.start_line()
        self.plc = MqttDiverter(LINE, LineKeys(p.line_keys(f"{LINE}-plc")), p.broker_port)

    def start_gateway(self) -> None:
        """The gateway's process, again on the same ports."""
        self._target.plant.start_gateway(
            self.gateway,
            "--inference-port",
            self.inference_port,
            "--models",
            self.models,
            "--receipt-quota",
            QUOTA_MIB,
        )

    def start_line(self) -> None:
        """The line adapter."""
        self._target.plant.start_line(
            LINE,
            [],
            "--camera",
            self.camera.device,
            "--output",
            "mqtt",
            "--deadline-ms",
            DEADLINE_MS,
            "--hold-ms",
            5000,
            "--stop-after",
            100,
        )

    def close(self) -> None:
        """Let go of the broker."""
        self.plc.close()

    @contextmanager
    def channel(self, pair: tuple[bytes, bytes], port: int = 0) -> Iterator[grpc.Channel]:
        """A connection to the gateway, by default to its frames port."""
        frames, _ = self._target.plant.gateway_ports(self.gateway)
        root = self._target.keys.issuing["gateway-ca"].pem
        options = (
            ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        )
        credentials = grpc.ssl_channel_credentials(root, *pair)
        address = f"127.0.0.1:{port or frames}"
        with grpc.secure_channel(address, credentials, options=options) as channel:
            yield channel

    @contextmanager
    def conversation(self, camera: ForgedCamera | None = None) -> Iterator[Conversation]:
        """A stream to the gateway, not opened yet."""
        camera = camera or self.camera
        lease = camera.lease()
        with self.channel(camera.pair) as channel:
            talk = Conversation(channel, camera, lease, self._verdict)
            try:
                yield talk
            finally:
                talk.close()

    def status(self) -> pb.GatewayStatus:
        """What the gateway says of itself to an operator."""
        _, port = self._target.plant.gateway_ports(self.gateway)
        with gateway_stub(self._target.context, GATEWAY, f"127.0.0.1:{port}") as stub:
            reply: pb.GatewayStatus = stub.Status(pb.ListRequest())
            return reply

    def part(self, **changes: object) -> Part:
        """A new part that enters now."""
        sequence, now = next(self.numbers), time.monotonic()
        members = {
            "part": f"attack-{secrets.token_hex(3)}-{sequence}",
            "part_type": part_type(DESIGN),
            "sequence": sequence,
            "entered_ms": time.time_ns() // 1_000_000,
            "good": True,
            "entered_s": now,
            "due_s": now + DEADLINE_MS / 1000,
        }
        return Part(**(members | changes))  # type: ignore[arg-type]

    def decided(self, part: Part, timeout_s: float = 15.0) -> str:
        """The adapter's signed decision on a part; `permitted` stands in front where the diverter
        would open.
        """
        key = (part.part, part.sequence)
        wait_for("the adapter's decision", lambda: key in self.plc.decisions, timeout_s)
        return self.plc.decisions[key]

    def inspected(self, camera: ForgedCamera | None = None) -> str:
        """What a sound frame of a new conversation gets."""
        with self.conversation(camera) as talk:
            session, number = talk.open(), next(self.numbers)
            image = picture(number)
            talk.send(frame=session.seal(head(number, image), image))
            return talk.said()

    def serves(self) -> bool:
        """Whether a sound frame is inspected now; cameras, too, try again where it is not."""
        try:
            return self.inspected() == "PASS"
        except (RuntimeError, TimeoutError, FramegateError, grpc.RpcError):
            return False

    def photographed(self, part: Part, number: int = 0) -> str:
        """What the frame of a part gets at the gateway."""
        with self.conversation() as talk:
            session = talk.open()
            image = picture(number or part.sequence)
            talk.send(frame=session.seal(head(part.sequence, image, part=part.part), image))
            return talk.said()

    def passes(self) -> str:
        """What becomes of a sound part, by trigger, frame, verdict, decision and diverter."""
        with self.conversation() as talk:
            session = talk.open()
            part = self.part()
            image = picture(part.sequence)
            self.plc.trigger(part)
            talk.send(frame=session.seal(head(part.sequence, image, part=part.part), image))
            seen, decision = talk.said(), self.decided(part)
        opens = self.plc.permits(part)
        return decision if opens == (decision == "PASS") else f"{seen}, {decision}, {opens}"

    def _verdict(self, envelope: bytes) -> Verdict:
        """The verdict, verified as a line does: what a forged one says is not looked at."""
        now = from_ms(time.time_ns() // 1_000_000)
        return verify_verdict(
            envelope,
            self._target.keys.intermediates,
            self._target.context.root_certificate,
            now,
        )


def board(seed: int) -> NDArray[np.uint8]:
    """The picture of a board without defects, another for each seed."""
    image = draw_board(seed % 12, design=DESIGN, defects=0, clean_capture=True).frame.copy()
    noise = np.random.default_rng(seed)
    image[noise.integers(0, image.shape[0], 4), noise.integers(0, image.shape[1], 4)] ^= 255
    return image


def picture(seed: int) -> bytes:
    """The same as a JPEG."""
    return encoded(board(seed))
