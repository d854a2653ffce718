"""The campaign's target: a live controller process on loopback, met as an attacker on the network
would meet it, with forged machines.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.identity.certificates import load_certificate
from framegate.identity.pem import private_pem
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.silent_provider import SilentProvider
from framegate_simulators.attack.sources import Sources
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.operators import OPERATOR
from framegate_simulators.plant.plant import Plant


class Closing(Protocol):
    """Something that runs beside the plant."""

    def close(self) -> None:
        """Let go of it."""


C = TypeVar("C", bound=Closing)
TIMEOUT_S: Final = 15.0
FRESH_S: Final = 60.0
"""Below what the default policy calls a fresh factor, and above a TOTP code's step."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an attempt met: the reason ids that came back, and whether the attacker went away with
    nothing.
    """

    refused: bool
    reason: str
    attempt: str = ""


@dataclass
class Attempt:
    """One attempt at one threat. `control` names what must be served right before and after it, see
    `controls.py`.
    """

    threat: str
    summary: str
    run: Callable[[Target], Seen]
    control: str = "join"


ATTEMPTS: list[Attempt] = []


def attempt(
    threat: str, summary: str, *, control: str = "join"
) -> Callable[[Callable[[Target], Seen]], Callable[[Target], Seen]]:
    """Register the decorated function as an attempt at `threat`, such as "N03"."""

    def register(run: Callable[[Target], Seen]) -> Callable[[Target], Seen]:
        ATTEMPTS.append(Attempt(threat, summary, run, control))
        return run

    return register


@dataclass(frozen=True, slots=True)
class Answer:
    """What the controller said to evidence, or to a Begin that it refused."""

    state: str
    reasons: tuple[str, ...]
    certificate: x509.Certificate | None
    again: bool = False

    @property
    def seen(self) -> Seen:
        """As an attempt's result: refused where no certificate came."""
        return Seen(self.certificate is None, ", ".join(dict.fromkeys(self.reasons)) or self.state)


class Enrolled(NamedTuple):
    """A sound machine that the target trusts."""

    forge: Forge
    device: str
    certificate: x509.Certificate


@dataclass
class Target:
    """A plant with a running controller, an operator's word where an attack needs a ticket, and the
    fleet's keys only where a fixture needs them.
    """

    plant: Plant
    provider: SilentProvider
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self._made: dict[Any, Any] = {}
        self._sources = Sources()
        self.source = self._sources.new()
        self._signed_in_s = time.monotonic()
        self.context = load_context(self.plant.context)
        self.fleet = sha256(self.context.root_certificate.public_bytes(Encoding.DER))

    def once(self, make: Callable[[Target], C]) -> C:
        """What `make` makes of this target, made when it is first asked for, closed with it."""
        if make not in self._made:
            self._made[make] = make(self)
        made: C = self._made[make]
        return made

    def sign_in_again(self, *, always: bool = False) -> None:
        """The operator proves both factors anew where the last proof is not fresh for long."""
        if always or time.monotonic() - self._signed_in_s > FRESH_S:
            self.plant.sign_in(OPERATOR)
            self.context = load_context(self.plant.context)
            self._signed_in_s = time.monotonic()

    def close(self) -> None:
        """Let go of what is not the plant's."""
        for part in self._made.values():
            part.close()
        self._sources.close()

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Come from an address of one's own for the length of the block: what others are held off
        for is then no reason.
        """
        before, self.source = self.source, self._sources.new()
        try:
            yield
        finally:
            self.source = before

    def signing_in(self, context: OperatorContext) -> OperatorContext:
        """`context` for somebody who signs in from `source`."""
        return replace(context, join_address=f"127.0.0.1:{self._way()}")

    def _way(self) -> int:
        return self._sources.way(self.source, self.plant.join_port)

    @property
    def keys(self) -> FleetKeys:
        """The fleet's keys, for certificates that an attacker might have got hold of."""
        return load_fleet(self.plant.folder / "controller" / "keys")

    def forge(self, kind: str = "camera", firmware: Firmware | None = None) -> Forge:
        """A machine whose TPM is software: every statement of it can be broken."""
        return Forge(self.plant.maker, firmware or Firmware(f"simulated-{kind}"))

    def invite(
        self,
        forge: Forge | None = None,
        *,
        name: str = "",
        kind: str = "camera",
        replace: bool = False,
        profile: str = "",
    ) -> tuple[bytes, str]:
        """(ticket code, device id); bound to the forge's EK where one is given."""
        name = name or f"a{next(self.numbers)}"
        request = pb.InviteRequest(
            kind=kind,
            name=name,
            zone="line-1",
            profile=profile or f"simulated-{kind}",
            ek_sha256=forge.ek_sha256.hex() if forge else "",
            life_s=3600,
            replace=replace,
        )
        with operator_stub(self.context) as stub:
            reply = stub.Invite(request)
        return reply.code, reply.device

    @contextmanager
    def joining(self, **options: Any) -> Iterator[Any]:
        """A stub of the join port, for somebody at `source`."""
        tls = grpc.ssl_channel_credentials(self.context.root)
        with grpc.secure_channel(
            f"127.0.0.1:{self._way()}", tls, options=self._options(), **options
        ) as channel:
            yield rpc.JoinStub(channel)

    @contextmanager
    def fleet_channel(self, pair: tuple[bytes, bytes] | None) -> Iterator[grpc.Channel]:
        """A connection to the fleet port with (key, chain) in PEM, or with none."""
        tls = grpc.ssl_channel_credentials(self.context.root, *(pair or (None, None)))
        with grpc.secure_channel(
            f"127.0.0.1:{self.plant.fleet_port}", tls, options=self._options()
        ) as channel:
            yield channel

    def _options(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("grpc.ssl_target_name_override", self.context.server_name),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        )

    def begin(self, hello: bytes) -> pb.ChallengeReply:
        """The challenge to a Hello, with its sealed state. Raises FramegateError as the controller
        refuses.
        """
        with self.joining() as stub:
            reply: pb.ChallengeReply = _called(
                lambda: stub.Begin(pb.BeginRequest(hello=hello), timeout=TIMEOUT_S)
            )
            return reply

    def complete(self, state: bytes, mac: bytes, evidence: bytes) -> Answer:
        """The answer to evidence of a join."""
        with self.joining() as stub:
            return answer_of(
                lambda: stub.Complete(evidence_parts(state, mac, evidence), timeout=TIMEOUT_S)
            )

    def join(
        self, forge: Forge, code: bytes = b"", *, change_mac: Callable[[bytes], bytes] = bytes
    ) -> Answer:
        """The whole of a join."""
        hello = forge.hello(code)
        try:
            begun = self.begin(hello)
        except FramegateError as error:
            return Answer("refused", tuple(f.reason.value for f in error.failures), None)
        mac, evidence = forge.answer(self.fleet, hello, begun.challenge)
        return self.complete(begun.state, change_mac(mac), evidence)

    def enrol(
        self, forge: Forge | None = None, *, name: str = "", kind: str = "camera"
    ) -> Enrolled:
        """A sound machine that is trusted: the control of every experiment. Raises RuntimeError
        where the target refuses even that.
        """
        forge = forge or self.forge(kind)
        code, device = self.invite(forge, name=name, kind=kind)
        answer = self.join(forge, code)
        if answer.certificate is None:
            raise RuntimeError(f"the target refuses sound evidence: {answer}")
        return Enrolled(forge, device, answer.certificate)

    def try_join(self, forge: Forge) -> Seen:
        """Join a forged machine by a ticket of its own."""
        code, _ = self.invite(forge)
        return self.join(forge, code).seen

    def pair(self, forge: Forge, certificate: x509.Certificate) -> tuple[bytes, bytes]:
        """The machine's TLS key and chain."""
        return private_pem(forge.tls.private), certificate.public_bytes(
            Encoding.PEM
        ) + self.context.authorities

    def attest(
        self,
        forge: Forge,
        certificate: x509.Certificate,
        *,
        known_log: bool = False,
        hello: bytes = b"",
    ) -> Answer:
        """An attestation on the fleet port."""
        with self.fleet_channel(self.pair(forge, certificate)) as channel:
            stub = rpc.FleetStub(channel)
            hello = hello or forge.attest_hello(known_log=known_log)
            try:
                reply = _called(lambda: stub.Begin(pb.BeginRequest(hello=hello), timeout=TIMEOUT_S))
            except FramegateError as error:
                return Answer("refused", tuple(f.reason.value for f in error.failures), None)
            _, evidence = forge.answer(self.fleet, hello, reply.challenge, join=False)
            parts = evidence_parts(reply.state, b"", evidence, reply.with_offer)
            return answer_of(lambda: stub.Complete(parts, timeout=TIMEOUT_S))

    def state(self, device: str) -> str:
        """The device's state by the controller."""
        with operator_stub(self.context) as stub:
            return str(stub.Show(pb.DeviceRequest(device=device)).summary.state)

    def change(self, device: str, event: str) -> None:
        """An operator's verb."""
        with operator_stub(self.context) as stub:
            stub.Change(pb.ChangeRequest(device=device, event=event, reason="campaign"))


def reason_of(work: Callable[[], Any]) -> Seen:
    """Refused where `work` raises our error or gRPC's; the reason is what came with it."""
    try:
        _called(work)
    except FramegateError as error:
        return Seen(
            True,
            ", ".join(
                dict.fromkeys(
                    f"{f.reason.value}" if f.reason.value != "unavailable" else f.actual[:60]
                    for f in error.failures
                )
            ),
        )
    return Seen(False, "accepted")


def _called(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except grpc.RpcError as error:
        raise from_rpc_error(error, "") from error


def answer_of(work: Callable[[], Any]) -> Answer:
    """What `work`, which completes an attestation, comes to: its reply, or why it was refused."""
    try:
        reply = _called(work)
    except FramegateError as error:
        return Answer("refused", tuple(f.reason.value for f in error.failures), None)
    certificate = load_certificate(reply.certificate) if reply.certificate else None
    return Answer(
        reply.state, tuple(f.reason for f in reply.failures), certificate, reply.retry_with_boot_log
    )
