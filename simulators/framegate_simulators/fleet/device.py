"""One forged machine of a simulated fleet: it joins, attests, reboots, gets updates, is tampered
with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Unavailable
from framegate.eventlog import parse_boot_log, replay
from framegate.identity.certificates import issuer_of
from framegate.identity.pem import private_pem
from framegate.machines.lifecycle import State
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.policy import policy_pcr
from framegate.tpm.public import TLS_ATTRS
from framegate_proto.edge import answered, evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fleet.machine_watch import MachineWatch
from framegate_simulators.forge.forge import PCRS, Forge, Key
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from framegate_simulators.machine.ima import ImaMachine, files_of

MODEL: Final = "simulated-camera"
RELEASES: Final = ("12.9", "12.10")
"""What machines start with, and what an update brings."""
CALL_S: Final = 30.0
TRIES: Final = 4
AGAIN_S: Final = 0.25
"""Tries at each of several controllers, and how long after one that did not answer."""
EXPIRES_S: Final = 1.0
"""A certificate that ends sooner is not used any more, as agents do."""
OPTIONS: Final = (
    ("grpc.ssl_target_name_override", "controller.plant.framegate"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.http2.bdp_probe", 0),  # as agents, and so is how often they see whether it is there
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


class How(StrEnum):
    """By which way a machine attests: over a connection that stands, one that it opens for it, or
    at the join port, by its EK.
    """

    KEPT = "kept"
    NEW = "new"
    JOIN = "join"


@dataclass(frozen=True, slots=True)
class Booted:
    """What all machines of one firmware have alike: log, PCRs, IMA list, the TLS key's policy."""

    log: bytes
    pcrs: dict[int, bytes]
    ima: ImaMachine
    policy: bytes


@lru_cache(maxsize=8)
def booted(firmware: Firmware) -> Booted:
    """Worked out once: ten thousand machines boot the same few firmwares."""
    log = boot_log(measurements(firmware))
    pcrs = dict(replay(parse_boot_log(log), Alg.SHA256))
    full = {p: pcrs.get(p, bytes(32)) for p in PCRS}
    ima = ImaMachine.booted(pcrs, files_of(firmware.model, firmware.release))
    return Booted(log, pcrs, ima, policy_pcr(PcrSelection(Alg.SHA256, PCRS), full))


class FleetForge(Forge):
    """A forge that shares what machines of one firmware share."""

    def boot(self, log: bytes | None = None) -> None:
        """See `Forge.boot`."""
        if log is not None:
            super().boot(log)
            return
        same = booted(self.firmware)
        self.log, self.pcrs, self.ima = same.log, same.pcrs, same.ima
        self.tls = Key.make(TLS_ATTRS, policy=same.policy)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the controllers are: join and fleet ports in one order, their fleet's root (PEM), the
    digest of that.
    """

    joins: tuple[str, ...]
    fleets: tuple[str, ...]
    root: bytes
    digest: bytes


class FleetDevice:
    """One machine; `name` as the registry has it, `at` which of several controllers it asks first.
    Its methods raise FramegateError where the controller refuses or none answers, and return its
    state otherwise.
    """

    def __init__(self, name: str, forge: FleetForge, at: int = 0) -> None:
        self.name, self.forge, self._at = name, forge, at
        self.went_over = 0
        self.last_s = 0.0
        self.tampered = False
        self._expires_s = 0.0
        self._credentials: grpc.ChannelCredentials | None = None
        self._channel: grpc.aio.Channel | None = None
        self.watch = MachineWatch()
        self.how = How.JOIN
        self.begin_ms = 0.0

    async def join(self, ports: Ports, code: bytes = b"") -> State:
        """By its ticket's `code`, or, after a reboot, by its EK."""
        return await self._somewhere(ports, lambda at: self._join(ports, ports.joins[at], code))

    async def attest(self, ports: Ports, *, keep: bool, watching: bool = False) -> State:
        """At the fleet port, over the connection that it has or a new one; `watching`: with its
        watch open on it from then on.
        """
        state = await self._somewhere(
            ports, lambda at: self._attest(ports, ports.fleets[at], keep=keep)
        )
        if watching and self._channel is not None:
            self.watch.open(self._channel)
        return state

    async def _somewhere(self, ports: Ports, once: Callable[[int], Awaitable[State]]) -> State:
        """At the controller that answered last, or where it does not at the next, as agents do."""
        count = len(ports.joins)
        tries = TRIES * count if count > 1 else 1
        for _ in range(tries - 1):
            try:
                return await once(self._at % count)
            except Unavailable:
                await self.drop()
                self._at += 1
                self.went_over += 1
                await asyncio.sleep(AGAIN_S)
        return await once(self._at % count)

    async def _join(self, ports: Ports, where: str, code: bytes) -> State:
        await self.drop()
        self.how, begun_s = How.JOIN, time.monotonic()
        root = grpc.ssl_channel_credentials(ports.root)
        async with grpc.aio.secure_channel(where, root, options=OPTIONS) as channel:
            stub, hello = rpc.JoinStub(channel), self.forge.hello(code)
            begun = await answered(stub.Begin(pb.BeginRequest(hello=hello), timeout=CALL_S), "")
            self.begin_ms = 1e3 * (time.monotonic() - begun_s)
            mac, evidence = self.forge.answer(ports.digest, hello, begun.challenge)
            parts = evidence_parts(begun.state, mac, evidence)
            return self._taken(ports, await answered(stub.Complete(parts, timeout=CALL_S), ""))

    async def _attest(self, ports: Ports, where: str, *, keep: bool) -> State:
        if self._credentials is None:
            raise RuntimeError(f"{self.name} has not joined")
        if self._channel is None:
            self._channel = grpc.aio.secure_channel(where, self._credentials, options=OPTIONS)
        stands = self._channel.get_state() == grpc.ChannelConnectivity.READY
        self.how, begun_s = How.KEPT if stands else How.NEW, time.monotonic()
        stub, hello = rpc.FleetStub(self._channel), self.forge.attest_hello(known_log=True)
        try:
            begun = await answered(stub.Begin(pb.BeginRequest(hello=hello), timeout=CALL_S), "")
            self.begin_ms = 1e3 * (time.monotonic() - begun_s)
            _, evidence = self.forge.answer(ports.digest, hello, begun.challenge, join=False)
            # 0.1.0's messages, which a fleet of before speaks (`--before`), have no such member
            most = getattr(begun, "with_offer", 0)
            parts = evidence_parts(begun.state, b"", evidence, *([most] if most else []))
            return self._taken(ports, await answered(stub.Complete(parts, timeout=CALL_S), ""))
        finally:
            if not keep:
                await self.drop()

    def reboot(self, firmware: Firmware | None = None) -> None:
        """Boot again, `firmware` in place of the present one; the TPM counts it."""
        self.forge.firmware = firmware or self.forge.firmware
        self.forge.clock = replace(self.forge.clock, reset_count=self.forge.clock.reset_count + 1)
        self.forge.boot()

    @property
    def admitted(self) -> bool:
        """Whether it has a certificate that lives: a machine without one joins by its EK."""
        return self._credentials is not None and time.time() < self._expires_s

    async def drop(self) -> None:
        """Close its connection."""
        await self.watch.close()
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    def _taken(self, ports: Ports, reply: Any) -> State:
        if reply.certificate:
            own = x509.load_der_x509_certificate(reply.certificate)
            self._expires_s = own.not_valid_after_utc.timestamp() - EXPIRES_S
            issuer = issuer_of(own, map(x509.load_der_x509_certificate, reply.authorities))
            chain = b"".join(c.public_bytes(Encoding.PEM) for c in (own, issuer) if c is not None)
            self._credentials = grpc.ssl_channel_credentials(
                ports.root, private_pem(self.forge.tls.private), chain
            )
        return State(reply.state)
