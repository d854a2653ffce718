"""The demonstration's own syslog server: what it takes, and what it hangs up on."""

import socket
import ssl
import threading

import pytest

from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.syslog_collector import (
    MOST_BYTES,
    Receiver,
    SyslogServer,
    write_certificate,
)

TEXT = (
    b'<110>1 2026-01-01T00:00:00.000Z plant framegate - e [meta sequenceId="1"] \xef\xbb\xbf{"a":1}'
)


@pytest.fixture
def server(tmp_path):
    write_certificate(tmp_path)
    with Receiver(tmp_path, tmp_path / "out") as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.02,), daemon=True).start()
        port = receiver.server_address[1]
        yield SyslogServer("own", port, tmp_path / "ca.pem", tmp_path / "out")
        receiver.shutdown()


def sent(server: SyslogServer, octets: bytes) -> bool:
    """Whether the server hung up by itself."""
    context = ssl.create_default_context(cafile=str(server.ca))
    with (
        socket.create_connection(("127.0.0.1", server.port), 30) as bare,
        context.wrap_socket(bare, server_hostname="127.0.0.1") as peer,
    ):
        peer.sendall(octets)
        peer.settimeout(30)
        try:
            return peer.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


def framed(text: bytes) -> bytes:
    return b"%d %b" % (len(text), text)


def test_frames_arrive_whole_and_in_order(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    with (
        socket.create_connection(("127.0.0.1", server.port), 30) as bare,
        context.wrap_socket(bare, server_hostname="127.0.0.1") as peer,
    ):
        both = framed(TEXT) + framed(TEXT.replace(b'"a":1', b'"b":22'))
        peer.sendall(both[:40])
        peer.sendall(both[40:])
        wait_for("both", lambda: len(server.events()) == 2, 30)
    assert server.events() == [{"a": 1}, {"b": 22}]


@pytest.mark.parametrize(
    "octets",
    [
        TEXT + b"\n",
        b"-1 " + TEXT,
        b"0 " + TEXT,
        b" " + TEXT,
        b"%d " % (MOST_BYTES + 1),
        b"1234567",
        framed(TEXT.replace(b"\xef\xbb\xbf", b"")),
        framed(TEXT.replace(b"<110>1 ", b"<110>2 ")),
        framed(TEXT + b"\n{}"),
    ],
)
def test_what_is_no_message_is_hung_up_on_and_not_written(server, octets):
    assert sent(server, octets)
    assert server.events() == []


def test_plain_text_is_not_taken(server):
    with socket.create_connection(("127.0.0.1", server.port), 30) as peer:
        peer.sendall(framed(TEXT))
        peer.settimeout(30)
        try:
            while peer.recv(1024):
                pass
        except ConnectionError:
            pass
    assert server.events() == []
