"""N187: whoever connects often enough, with or without a certificate, ends a server that takes a
new TLS configuration up at every connection: gRPC frees the one that other threads still use.
"""

import ast
import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.pem import private_pem
from framegate_proto.server_tls import SETTLED_S, ChangingTls, ServerTls

ROOT = Path(__file__).parents[2]


def self_signed(name: str) -> tuple[bytes, bytes]:
    """A key and a certificate that is its own authority, in PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return private_pem(key), certificate.public_bytes(Encoding.PEM)


SERVER, ANNA, BERT = self_signed("server"), self_signed("anna"), self_signed("bert")


class Wanted:
    """What counts now, as tests change it."""

    def __init__(self) -> None:
        self.clients, self.asked, self.refused = ANNA[1], 0, False
        self.pauses: list[float] = []

    def now(self) -> ServerTls:
        self.asked += 1
        if self.refused:
            raise Refused.of(Reason.NOT_TRUSTED, "a host in standing", "none")
        return ServerTls(*SERVER, self.clients)

    def tls(self) -> ChangingTls:
        return ChangingTls(self.now, self.pauses.append)


def test_n187_a_configuration_that_is_the_same_is_never_handed_out_again():
    wanted = Wanted()
    tls = wanted.tls()
    assert [tls.changed() for _ in range(1_000)] == [None] * 1_000
    assert not wanted.pauses and wanted.asked == 1_001, "and what counts is asked every time"


def test_n187_a_new_one_is_handed_out_once_and_after_a_pause():
    wanted = Wanted()
    tls = wanted.tls()
    for clients in (BERT[1], ANNA[1] + BERT[1], ANNA[1]):
        wanted.clients = clients
        assert tls.changed() is not None
        assert tls.changed() is None
    assert wanted.pauses == [SETTLED_S] * 3


def test_n187_threads_that_ask_at_once_get_one_between_them():
    """gRPC locks while it asks; should it not, one thread hands out and the others wait for it."""
    wanted, inside = Wanted(), threading.Barrier(8)
    tls = wanted.tls()
    wanted.clients = BERT[1]
    got = []

    def ask():
        inside.wait(30)
        got.append(tls.changed())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 8 and sum(one is not None for one in got) == 1
    assert wanted.pauses == [SETTLED_S]


def test_n187_what_cannot_be_said_changes_nothing_and_is_told_once_in_a_row(caplog):
    """Without a stack, which gRPC would write for each connection of a stranger."""
    wanted = Wanted()
    tls = wanted.tls()
    for times in (1, 2):
        wanted.refused, wanted.clients = True, BERT[1] * times
        assert [tls.changed() for _ in range(100)] == [None] * 100
        assert [r.getMessage().count("a host in standing") for r in caplog.records] == [1] * times
        wanted.refused = False
        assert tls.changed() is not None, "it is handed out once it can be said"
    assert not any(record.exc_info for record in caplog.records)
    wanted.refused = True
    with pytest.raises(Refused):
        ChangingTls(wanted.now)


async def greeted(port: int, pair: tuple[bytes, bytes]) -> bool:
    """Whether whoever has `pair` gets an answer."""
    credentials = grpc.ssl_channel_credentials(SERVER[1], *pair)
    options = (("grpc.ssl_target_name_override", "server"), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as at:
        try:
            await at.unary_unary("/test/Greet")(b"", timeout=30)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return False
    return True


async def test_n187_a_server_that_runs_takes_a_change_up_with_the_next_connection():
    """Over a real port: who is let in changes, and a storm of strangers in between ends nothing."""
    wanted = Wanted()
    server = grpc.aio.server()

    async def greet(_request, _context):
        return b"hello"

    handler = grpc.unary_unary_rpc_method_handler(greet)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("test", {"Greet": handler})]
    )
    port = server.add_secure_port("127.0.0.1:0", wanted.tls().credentials())
    await server.start()
    try:
        assert await greeted(port, ANNA) and not await greeted(port, BERT)
        wanted.clients = BERT[1]
        answers = await asyncio.gather(*(greeted(port, p) for p in [ANNA, BERT] * 8))
        assert answers[1::2] == [True] * 8, "and whoever came first has made way"
        assert not await greeted(port, ANNA) and await greeted(port, BERT)
    finally:
        await server.stop(0)


SERVER_PROGRAM = """
import asyncio, sys
import grpc
from framegate_proto.server_tls import ChangingTls, ServerTls

shown = ServerTls(*(bytes.fromhex(word) for word in sys.stdin.readline().split()))

async def serve():
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", ChangingTls(lambda: shown).credentials())
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""
KNOCKS = 4_000
"""A server that took up a new configuration at every connection died of 7,000 to 11,000, by
`double free or corruption` or a signal 11.
"""


def test_n187_connections_of_strangers_end_no_server():
    """Without a byte of TLS: a handshake is made for each connection as it comes."""
    argv = [sys.executable, "-c", SERVER_PROGRAM]
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as server:
        try:
            server.stdin.write(" ".join(part.hex() for part in (*SERVER, ANNA[1])) + "\n")
            server.stdin.flush()
            port = int(server.stdout.readline())

            def knock():
                for _ in range(KNOCKS // 8):
                    with contextlib.suppress(OSError):
                        socket.create_connection(("127.0.0.1", port), 30).close()

            threads = [threading.Thread(target=knock) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert asyncio.run(answers_calls(port)), server.poll()
            assert server.poll() is None
        finally:
            server.kill()


async def answers_calls(port: int) -> bool:
    """Whether it lets Anna in: it has no such call, and says so."""
    credentials = grpc.ssl_channel_credentials(SERVER[1], *ANNA)
    options = (("grpc.ssl_target_name_override", "server"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as at:
        try:
            await at.unary_unary("/test/Greet")(b"", timeout=30, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return error.code() == grpc.StatusCode.UNIMPLEMENTED
    return False


def test_n187_nothing_else_here_gives_a_server_a_configuration_that_changes():
    callers = [
        str(path.relative_to(ROOT))
        for folder in ("core", "agent", "controller", "proto")
        for path in (ROOT / folder).rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "dynamic_ssl_server_credentials"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert callers == ["proto/framegate_proto/server_tls.py"]
