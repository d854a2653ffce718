"""Load on a controller's join port, by whoever can reach it, and by one enrolled machine.

    python -m framegate_simulators.attack.strangers FOLDER begin|ek|big|mute|idle|heavy SECONDS

FOLDER holds `ready.json` (the controller's), `root.pem`, for `ek` a machine's `hello.bin`, and for
`heavy` the `maker` of a TPM with the ticket `HEAVY_CODE`. Loopback only; it ends by itself, and
says as JSON what became of its calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.wire import sha256
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.ima import ImaMachine
from framegate_simulators.machine.tpm import TpmMaker

LOOPBACK: Final = "127.0.0.1"
CONNECTIONS: Final = 8
STREAMS: Final = 32
IDLE: Final = 2_000
BIG_BYTES: Final = 6 * 1024 * 1024
HEAVY_CODE: Final = b"heavy machine..."
HEAVY_FILES: Final = 38_000
"""An IMA list of some 4 MiB, the most there can be, which replays to nothing."""
HEAVY_PARALLEL: Final = 4
MAX_SECONDS: Final = 300.0
HTTP2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\0" + bytes(4)
"""A client's preface and empty settings (RFC 9113, 3.4)."""


class Strangers:
    """A controller as strangers see it: its join port, and its root for TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address: str = json.loads((folder / "ready.json").read_text())["join"]
        if not self.address.startswith(LOOPBACK + ":"):
            raise SystemExit("loopback only")
        self.root = (folder / "root.pem").read_bytes()
        self.seen: Counter[str] = Counter()

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own."""
        options = (
            ("grpc.ssl_target_name_override", "controller.plant.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        )
        return grpc.aio.secure_channel(
            self.address, grpc.ssl_channel_credentials(self.root), options=options
        )

    async def flood(self, kind: str, until: float) -> None:
        """Calls without a pause: Hellos of a TPM that nobody knows (`begin`) or of a known machine
        (`ek`), evidence that nobody asked for, in messages of 6 MiB (`big`), or nothing at all in a
        call that was opened for evidence (`mute`).
        """
        calls = {"big": self._big, "mute": self._mute}
        call = calls[kind]() if kind in calls else self._begin(self._hello(kind))
        channels = [self.channel() for _ in range(CONNECTIONS)]
        stubs = [rpc.JoinStub(c) for c in channels for _ in range(STREAMS)]
        await asyncio.gather(*(self._again(call, s, until) for s in stubs))
        for channel in channels:
            await channel.close()

    async def heavy(self, until: float) -> None:
        """One enrolled machine sends as much as evidence can have, as often as it can."""
        fleet = sha256(x509.load_pem_x509_certificate(self.root).public_bytes(Encoding.DER))
        forge = Forge(TpmMaker.load_or_found(self.folder / "maker"), Firmware("simulated-camera"))
        async with self.channel() as channel:
            stub = rpc.JoinStub(channel)
            await self._attest(stub, forge, fleet, HEAVY_CODE)
            files = {b"/x/%d" % i: secrets.token_bytes(32) for i in range(HEAVY_FILES)}
            forge.ima = ImaMachine.booted(forge.pcrs, files)
            forge.ima.values = {
                bank: secrets.token_bytes(len(v)) for bank, v in forge.ima.values.items()
            }

            async def once(stub: Any) -> None:
                await self._attest(stub, forge, fleet, b"")

            await asyncio.gather(*(self._again(once, stub, until) for _ in range(HEAVY_PARALLEL)))

    def idle(self, until: float) -> None:
        """Two thousand connections after their handshake, without a call, for as long as they are
        let.
        """
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        host, port = self.address.split(":")
        idle = []
        for _ in range(IDLE):
            try:
                raw = socket.create_connection((host, int(port)), 3)
                connection = context.wrap_socket(raw)
                connection.sendall(HTTP2)
                idle.append(connection)
            except OSError as error:
                self.seen[type(error).__name__] += 1
            if time.monotonic() > until:
                break
        self.seen["opened"] = len(idle)
        time.sleep(max(0.0, until - time.monotonic()))
        self.seen["open at the end"] = sum(_is_open(c) for c in idle)

    def _hello(self, kind: str) -> bytes:
        if kind == "ek":
            return (self.folder / "hello.bin").read_bytes()
        return Forge(TpmMaker.found(), Firmware("simulated-camera")).hello(b"")

    def _begin(self, hello: bytes) -> Callable[[Any], Awaitable[Any]]:
        async def begin(stub: Any) -> None:
            await stub.Begin(pb.BeginRequest(hello=hello), timeout=60)

        return begin

    def _big(self) -> Callable[[Any], Awaitable[Any]]:
        chunk = os.urandom(BIG_BYTES)

        async def complete(stub: Any) -> None:
            await stub.Complete(iter((pb.EvidencePart(chunk=chunk),)), timeout=60)

        return complete

    def _mute(self) -> Callable[[Any], Awaitable[Any]]:
        async def nothing() -> AsyncIterator[pb.EvidencePart]:
            await asyncio.sleep(MAX_SECONDS)
            yield pb.EvidencePart()

        async def complete(stub: Any) -> None:
            await stub.Complete(nothing(), timeout=60)

        return complete

    async def _again(self, call: Callable[[Any], Awaitable[Any]], stub: Any, until: float) -> None:
        while time.monotonic() < until:
            try:
                await call(stub)
                self.seen["answered"] += 1
            except grpc.aio.AioRpcError as error:
                self.seen[from_rpc_error(error, "").reason] += 1

    async def _attest(self, stub: Any, forge: Forge, fleet: bytes, code: bytes) -> None:
        hello = forge.hello(code)
        begun = await stub.Begin(pb.BeginRequest(hello=hello), timeout=60)
        mac, evidence = await asyncio.to_thread(forge.answer, fleet, hello, begun.challenge)
        reply = await stub.Complete(evidence_parts(begun.state, mac, evidence), timeout=60)
        self.seen[f"state {reply.state}"] += 1


def _is_open(connection: ssl.SSLSocket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except (ssl.SSLWantReadError, BlockingIOError):
        return True
    except OSError:
        return False
    return False


def main() -> None:
    """One load, to its end."""
    folder, kind, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    strangers, until = Strangers(folder), time.monotonic() + min(seconds, MAX_SECONDS)
    if kind == "idle":
        strangers.idle(until)
    elif kind == "heavy":
        asyncio.run(strangers.heavy(until))
    else:
        asyncio.run(strangers.flood(kind, until))
    print(json.dumps({kind: dict(strangers.seen)}), flush=True)


if __name__ == "__main__":
    main()
