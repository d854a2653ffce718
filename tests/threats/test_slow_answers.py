"""N219: a witness, a site, a provider or a collector that answers a byte at a time, or whose name
has many addresses where nobody answers: it holds a thread for as long as it likes, and a controller
whose chore does not end is ended by its service manager.
"""

import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Unavailable
from framegate.identity.pem import private_pem
from framegate_controller import bounded_http, timed_sockets
from framegate_controller.bounded_http import bounded
from framegate_controller.clockwork import run
from framegate_controller.clockwork.cosigning import MOST_TRIES
from framegate_controller.clockwork.witness_http import asking
from framegate_controller.federation import fetch
from framegate_controller.timed_sockets import Until, connected

DECLARED = (MOST_TRIES * bounded_http.ALL_S, 2 * fetch.FETCH_S)
"""How long a chore asks others at most; before this module's patches."""
BETWEEN_S = 0.05
ALL_S = 0.3
TRICKLES = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@contextmanager
def trickling(kind: str, tls: ssl.SSLContext | None = None):
    """A server that never comes to an end, a few bytes at a time; its port, and whether somebody
    hung up on it.
    """
    first, again = TRICKLES[kind]
    listener, over, hung_up = socket.create_server(("127.0.0.1", 0)), threading.Event(), []

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            connection = tls.wrap_socket(connection, server_side=True) if tls else connection
            connection.recv(65_536)
            connection.sendall(first)
            while not over.wait(BETWEEN_S):
                connection.sendall(again)
        except OSError:
            hung_up.append(True)
        finally:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], hung_up
    finally:
        over.set()
        thread.join(30)
        listener.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(bounded_http, "ALL_S", ALL_S)
    monkeypatch.setattr(fetch, "FETCH_S", ALL_S)


@pytest.mark.parametrize("kind", sorted(TRICKLES))
def test_n219_an_answer_that_comes_a_byte_at_a_time_ends_in_time(kind):
    with trickling(kind) as (port, hung_up):
        with pytest.raises(requests.RequestException):
            bounded(requests.Session(), True).get(f"http://127.0.0.1:{port}/")
        for _ in range(600):
            if hung_up:
                break
            time.sleep(BETWEEN_S)
        assert hung_up, "and whoever trickles is hung up on"


def test_n219_so_does_one_under_tls(tmp_path):
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "pair.pem"
    pem.write_bytes(private_pem(key) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with trickling("body", context) as (port, _), pytest.raises(requests.RequestException):
        bounded(requests.Session(), str(pem)).get(f"https://localhost:{port}/")


def test_n219_a_witness_that_trickles_is_one_that_did_not_answer():
    with trickling("head") as (port, _), pytest.raises(Unavailable):
        asking(f"http://127.0.0.1:{port}")(b"old 0\n\n")


def test_n219_no_chore_that_asks_others_can_break_its_promise():
    assert max(DECLARED) < run.CHORE_MOST_S


def test_n219_all_addresses_of_a_name_share_one_time(monkeypatch):
    """Each of these waits for as long as its socket is told to."""
    tried = []

    class Deaf(socket.socket):
        def connect(self, _address: object) -> None:
            tried.append(self.gettimeout())
            time.sleep(min(self.gettimeout(), 0.05))
            raise TimeoutError("nobody answers")

    monkeypatch.setattr(timed_sockets.socket, "socket", Deaf)
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))] * 1_000
    monkeypatch.setattr(timed_sockets.socket, "getaddrinfo", lambda *_, **__: addresses)
    until = Until(ALL_S)
    until.begin(ALL_S)
    with pytest.raises(TimeoutError):
        connected("many.example", 443, until)
    assert len(tried) < 20 and tried == sorted(tried, reverse=True), "each has what is left"


def test_n219_connections_that_are_kept_are_used_again_with_a_time_of_their_own(monkeypatch):
    """By a clock of its own: what each of them takes here is the machine's to say."""
    now_s = [0.0]
    monkeypatch.setattr(timed_sockets, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(bounded_http, "ALL_S", 30.0)
    listener, served = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(65_536):
                served.append(True)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    threading.Thread(target=serve, daemon=True).start()
    session = bounded(requests.Session(), True)
    for _ in range(3):
        assert session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/").content == b"ok"
        now_s[0] += bounded_http.ALL_S / 2
    session.close()
    listener.close()
    assert len(served) == 3
