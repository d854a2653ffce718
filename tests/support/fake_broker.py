"""An MQTT 5 broker of a few lines, which does what a test wants of it: every way a broker can treat
client ids, and packets that no client asked for.
"""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_line, issue_server
from framegate_host.broker_client import Broker
from framegate_host.broker_tls import broker_context

CONNECT, SUBSCRIBE, PINGREQ = 1, 8, 12


class FakeBroker:
    """`ids` is what it does with them: free, bound (a second connection ends the first), refused,
    full (refuses whoever comes, for another reason), deaf (never answers), fickle (ends both).
    """

    def __init__(self, keys, folder: Path) -> None:
        self.ids, self.flood, self.sent = "free", 0, 0
        self.hung_up = threading.Event()
        self._keys, self._connections = keys, []
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issue_server(keys, "broker", key.public_key()).public_bytes(Encoding.PEM)
        (folder / "fake.pem").write_bytes(private_pem(key) + leaf + keys.issuing["server-ca"].pem)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "fake.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def broker(self) -> Broker:
        return Broker(*self._listening.getsockname())

    def context(self) -> ssl.SSLContext:
        """TLS as a line adapter."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issue_line(self._keys, "press-7", key.public_key())
        chain = private_pem(key) + leaf.public_bytes(Encoding.PEM)
        chain += self._keys.issuing["broker-ca"].pem
        server_ca = self._keys.issuing["server-ca"].pem + self._keys.root.pem
        return broker_context("broker.plant.framegate", server_ca, chain)

    def close(self) -> None:
        self._listening.close()
        for connection in self._connections:
            _end(connection)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(plain,), daemon=True).start()

    def _talk(self, plain: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(plain, server_side=True) as connection:
                while (kind := connection.recv(1)) and self.ids != "deaf":
                    self._answer(connection, kind[0] >> 4, _body(connection))
        except OSError:
            pass

    def _answer(self, connection: ssl.SSLSocket, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            refusal = {"refused": 0x85, "full": 0x97}.get(self.ids, 0)
            if self.ids in {"bound", "fickle"}:
                for older in self._connections:
                    _end(older)
            self._connections.append(connection)
            connection.sendall(bytes([0x20, 3, 0, refusal, 0]))
            if refusal or (self.ids == "fickle" and len(self._connections) > 1):
                _end(connection)
            elif self.flood:
                self._publish(connection)
        elif kind == SUBSCRIBE:
            connection.sendall(bytes([0x90, 4, *body[:2], 0, 0x87]))
        elif kind == PINGREQ:
            connection.sendall(bytes([0xD0, 0]))

    def _publish(self, connection: ssl.SSLSocket) -> None:
        """One packet of `flood` bytes, for as long as somebody takes it."""
        length, left = b"", self.flood
        while True:
            left, digit = left >> 7, left & 127
            length += bytes([digit | (128 if left else 0)])
            if not left:
                break
        try:
            connection.sendall(b"\x30" + length + b"\x00\x01t\x00")
            while self.sent < self.flood:
                connection.sendall(bytes(1 << 16))
                self.sent += 1 << 16
        except OSError:
            self.hung_up.set()


def _body(connection: ssl.SSLSocket) -> bytes:
    length = shift = 0
    while True:
        first = connection.recv(1)
        if not first:
            raise ConnectionError("the client went away")
        byte = first[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return body


def _end(connection: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def fake_broker(keys, tmp_path):
    broker = FakeBroker(keys, tmp_path)
    yield broker
    broker.close()
