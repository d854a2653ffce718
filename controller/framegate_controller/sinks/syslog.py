"""Syslog over TLS: RFC 5424 messages in RFC 5425's frames (`LEN SP MSG`, octets counted).

The protocol confirms nothing. What can be known is that the other host's TCP has every octet, and
that it has not hung up a moment later; that is waited for, and no more is claimed. A batch with the
entry of `framegate siem test` is held to more: the connection is closed after it, and the collector
has to have read it to its end.
"""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.delivery import Outgoing, SinkFailed

CONNECT_S: Final = 5.0
SEND_S: Final = 10.0
"""For a batch; a collector that reads slower than that is as good as away."""
LOOK_S: Final = 0.002
GRACE_S: Final = 0.05
"""After a batch was taken over: a collector that hangs up on what it reads does so at once."""
END_S: Final = 5.0
"""For a collector to read what it has to the end, and to close."""
TEST: Final = "siem-tested"
"""The event that `framegate siem test` records."""
AUDIT: Final = 13
"""Facility "log audit" (RFC 5424, 6.2.1)."""
MAX_SEQUENCE: Final = 2_147_483_647
"""Of `meta sequenceId` (RFC 5424, 7.3.1), which begins again at 1."""
_SEVERITIES: Final = {1: 6, 2: 5, 3: 4, 4: 3, 5: 2}
"""OCSF's to syslog's: informational, notice, warning, error, critical."""


class SyslogSink:
    """One connection to a collector."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._host, self._credentials = Host.parse(address), credentials
        self._socket: socket.socket | None = None

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        try:
            connection = self._connected()
            connection.sendall(b"".join(map(frame, batch)))
            self._drain(connection)
            if any(o.event["metadata"]["event_code"] == TEST for o in batch):
                self._end(connection)
        except (OSError, ValueError) as error:
            self.close()
            raise SinkFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """See `SinkDriver.close`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            self._require_open(self._socket)
            return self._socket
        at = self._host
        bare = socket.create_connection((at.name, at.port), CONNECT_S)
        try:
            if not self._credentials.plain(at.name):
                bare = self._credentials.context().wrap_socket(bare, server_hostname=at.name)
            bare.settimeout(SEND_S)
        except BaseException:
            bare.close()
            raise
        self._socket = bare
        return bare

    def _drain(self, connection: socket.socket) -> None:
        """Wait until the other host's TCP has all, and see that it has not hung up."""
        until = time.monotonic() + SEND_S
        while _unsent(connection):
            self._require_open(connection)
            if time.monotonic() > until:
                raise TimeoutError(f"not taken over within {SEND_S:g} s")
            time.sleep(LOOK_S)
        until = time.monotonic() + GRACE_S
        while (left := until - time.monotonic()) > 0:
            self._require_open(connection, left)

    def _require_open(self, connection: socket.socket, seconds: float = 0.0) -> None:
        """Raises ConnectionError where the other side closes within so long: a collector says
        nothing else.
        """
        ready, _, _ = select.select([connection], [], [], seconds)
        if not ready:
            return
        connection.settimeout(0.0)
        try:
            if not connection.recv(4096):
                raise ConnectionResetError("the collector hung up")
        except (BlockingIOError, ssl.SSLWantReadError):
            return  # a session ticket, and nothing of the collector's
        finally:
            connection.settimeout(SEND_S)

    def _end(self, connection: socket.socket) -> None:
        """Close in good order, and see the collector read up to that.

        1. TLS says so (close_notify), then TCP; 2. the collector closes too: a host that resets the
        connection instead had something left that nobody read. One that stays open within `END_S`
        has hung up on nothing. Raises OSError.
        """
        self._socket, bare = None, connection
        connection.settimeout(END_S)
        try:
            if isinstance(connection, ssl.SSLSocket):
                bare = _unwrapped(connection)  # 1
            bare.shutdown(socket.SHUT_WR)
            while bare.recv(4096):  # 2
                pass
        except TimeoutError:
            return
        finally:
            bare.close()


def _unwrapped(connection: ssl.SSLSocket) -> socket.socket:
    """The connection under TLS, once both sides have said its end. Raises OSError."""
    try:
        return connection.unwrap()
    except ssl.SSLError as error:
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return connection  # it closed without a word: many do, and TCP tells the rest
        raise


def frame(outgoing: Outgoing) -> bytes:
    """One message in its frame: the event as JSON, in UTF-8."""
    event = outgoing.event
    level = AUDIT * 8 + _SEVERITIES[event["severity_id"]]
    at = datetime.fromtimestamp(event["time"] / 1000, UTC).isoformat(timespec="milliseconds")
    sequence = outgoing.index % MAX_SEQUENCE + 1
    head = (
        f"<{level}>1 {at.replace('+00:00', 'Z')} {_name(event['metadata']['tenant_uid'], 255)} "
        f"framegate - {_name(event['metadata']['event_code'], 32)} "
        f'[meta sequenceId="{sequence}"] '
    )
    message = head.encode() + b"\xef\xbb\xbf" + outgoing.body
    return b"%d %b" % (len(message), message)


def _name(text: str, most: int) -> str:
    """PRINTUSASCII without blanks (RFC 5424, 6)."""
    return "".join(c if "!" <= c <= "~" else "-" for c in text)[:most] or "-"


def _unsent(connection: socket.socket) -> int:
    """Octets that the other side's TCP has not acknowledged."""
    raw = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", raw)[0])
