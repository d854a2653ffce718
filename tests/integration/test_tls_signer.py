"""N118: the agent signs its own TLS 1.3 handshakes and nothing else."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused, Unavailable
from framegate_agent.signing import MAX_HANDSHAKES, TLS_CLIENT_PREFIX, TlsSigner
from framegate_agent.tpm.chip import Tpm
from framegate_controller.ca.issue import issue_operator


class CountingKey:
    def __init__(self) -> None:
        self.count = 0

    def sign_with_tls_key(self, message: bytes) -> bytes:
        self.count += 1
        return b"signature"


def signer(keys, now_s=None) -> tuple[CountingKey, TlsSigner]:
    key, certificate = (
        CountingKey(),
        issue_operator(keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key()),
    )
    return key, TlsSigner(key, certificate, now_s or (lambda: datetime.now(UTC).timestamp()))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 130,
        b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(32),
        TLS_CLIENT_PREFIX,
        TLS_CLIENT_PREFIX + bytes(31),
        TLS_CLIENT_PREFIX + bytes(64),
        os.urandom(65) + b"\x03\x00\x17" + os.urandom(60),
        b"framegate/v1/sign-opening\0" + bytes(64),
        b"\xffTCG" + bytes(126),
    ],
)
def test_n118_signer_is_no_oracle(keys, message):
    """TLS 1.2 key exchanges, server handshakes, quotes, our own messages: none is signed as a
    handshake.
    """
    key, tls = signer(keys)
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.SIGNING_ORACLE and key.count == 0


def test_n118_signer_stops_with_its_certificate_and_in_a_flood(keys):
    message = TLS_CLIENT_PREFIX + bytes(32)
    key, tls = signer(keys, lambda: (datetime.now(UTC) + timedelta(days=2)).timestamp())
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.CERTIFICATE_EXPIRED
    key, tls = signer(keys)
    for _ in range(MAX_HANDSHAKES):
        tls.sign(message)
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.TOO_MANY_TRIES and key.count == MAX_HANDSHAKES


def test_n118_tls_1_2_only_server_gets_nothing_signed(keys, machine):
    """A real TLS 1.2 server in front of the agent's own channel."""
    import ssl
    import threading

    from cryptography.hazmat.primitives.serialization import Encoding

    from framegate.identity.pem import private_pem
    from framegate_agent.channel import with_tpm_key
    from framegate_controller.ca.issue import issue_server

    server_key = ec.generate_private_key(ec.SECP256R1())
    folder = machine.folder
    (folder / "s.pem").write_bytes(
        private_pem(server_key)
        + issue_server(keys, "controller", server_key.public_key()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "s.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=keys.root.pem.decode())
    context.set_alpn_protocols(["h2"])
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    tpm = Tpm(machine.tcti)
    counting = CountingKey()
    counting.sign_with_tls_key = lambda m: (
        setattr(counting, "count", counting.count + 1),
        tpm.sign_with_tls_key(m),
    )[1]
    tpm.tls_key()

    async def call() -> None:
        from framegate_proto.edge import answered
        from framegate_proto.v1 import framegate_pb2 as pb
        from framegate_proto.v1 import framegate_pb2_grpc as rpc

        certificate = issue_operator(keys, "x", tpm.tls_key().key())
        port = listener.getsockname()[1]
        now = lambda: datetime.now(UTC).timestamp()  # noqa: E731
        async with with_tpm_key(
            f"127.0.0.1:{port}",
            "controller.plant.framegate",
            [keys.issuing["server-ca"].certificate],
            counting,
            [certificate],
            now,
        ) as channel:
            with pytest.raises(Unavailable):
                await answered(rpc.FleetStub(channel).Begin(pb.BeginRequest(), timeout=3), "x")
            # no handshake is under way when the channel closes: gRPC may wait for it forever
            listener.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(thread.join)

    asyncio.run(call())
    listener.close()
    tpm.close()
    assert counting.count == 0
