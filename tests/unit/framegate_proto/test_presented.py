"""What a port presents: gRPC is given it once, and again only where it has changed."""

import socket
import ssl
import threading
from concurrent import futures
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_proto.presented import Presented, WhereChanged, mutual_tls

NAME = "port.test"


def presented() -> Presented:
    """A key with a certificate of its own, which is the CA of its clients too."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    return Presented(private_pem(key), pem, pem)


ONE, OTHER = presented(), presented()


def test_what_is_as_before_is_no_news():
    said = [ONE]
    asked = WhereChanged(lambda: said[-1])
    assert isinstance(asked.first, grpc.ServerCertificateConfiguration)
    assert asked() is None and asked() is None
    said.append(OTHER)
    assert isinstance(asked(), grpc.ServerCertificateConfiguration) and asked() is None
    said.append(OTHER._replace(clients=OTHER.clients + ONE.clients))
    assert asked() is not None and asked() is None
    said.append(ONE)
    assert asked() is not None, "what was there once before is a change all the same"


def test_what_cannot_be_told_is_no_change():
    said = [ONE]

    def now() -> Presented:
        if not said:
            raise RuntimeError("no standing")
        return said[-1]

    asked = WhereChanged(now)
    said.clear()
    with pytest.raises(RuntimeError):  # gRPC keeps what it has then
        asked()
    said.append(ONE)
    assert asked() is None
    said.clear()
    with pytest.raises(RuntimeError):
        mutual_tls(now)


def test_many_handshakes_at_once_change_nothing_and_a_change_is_seen(tmp_path):
    """The port asks at every handshake; the same answer each time ended the process."""
    said, given = [ONE], []

    class Counted(Presented):
        def configuration(self):
            given.append(self.chain)
            return super().configuration()

    credentials = mutual_tls(lambda: Counted(*said[-1]))
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    (tmp_path / "client.pem").write_bytes(ONE.key + ONE.chain)

    def shown() -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(tmp_path / "client.pem")
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as tls,
        ):
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True)).encode()

    try:
        seen: list[bytes] = []
        threads = [threading.Thread(target=lambda: seen.append(shown())) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [ONE.chain] * 24 and given == [ONE.chain]
        said.append(OTHER)
        assert shown() == OTHER.chain and shown() == OTHER.chain
        assert given == [ONE.chain, OTHER.chain]
    finally:
        server.stop(None).wait(30)
