"""A witness's HTTP server: `add-checkpoint` of c2sp.org/tlog-witness, and nothing else.

Who asks proves nothing but that a log signed the head. So everything is bounded: bytes, time,
connections, and requests of one address.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.transparency.submission import MAX_SUBMISSION_BYTES, SIZE_TYPE, parse_submission
from framegate.transparency.witnessing import Declined
from framegate_host.prefixes import prefix_of
from framegate_host.token_buckets import Rate, TokenBuckets
from framegate_witness.state import WitnessState

log = logging.getLogger(__name__)
PATH: Final = "/add-checkpoint"
CONNECTIONS: Final = 32
"""At once; a log holds one for some milliseconds. Where all are there, whoever has waited longest
of the network that has most who have asked nothing yet gives way (N222).
"""
CONNECTION_S: Final = 30.0
"""A connection's whole life: whoever sends a byte now and then is cut off."""
RATE: Final = Rate(30, 2.0)
"""Requests of one IPv4 address or IPv6 /64: a log asks once a second, and again after a 409."""
ADDRESSES: Final = 4_096
PLAIN: Final = "text/plain; charset=utf-8"


class WitnessServer(ThreadingHTTPServer):
    """Serves `state` at `address`. Raises Unavailable where it cannot listen there."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], state: WitnessState) -> None:
        self.state = state
        self.rates: TokenBuckets[str] = TokenBuckets(RATE, ADDRESSES)
        self.crowd = Crowd(CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            wanted = f"{address[0]}:{address[1]} free to listen on"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, error.strerror or error) from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, where there is room; else the connection is closed."""
        if not self.crowd.admit(request, client_address[0]):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See the base class; the room is free again at its end."""
        try:
            with _cut_off(request):
                super().process_request_thread(request, client_address)
        finally:
            self.crowd.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's fault here."""
        log.info("a connection of %s broke", client_address[0], exc_info=True)


class Crowd:
    """Who is connected, in the order in which they came, and whether they have asked anything."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._quiet: dict[socket.socket, str] = {}
        self._asking: set[socket.socket] = set()

    def admit(self, request: socket.socket, address: str) -> bool:
        """Whether there is room, where nobody is being answered but all are; see `CONNECTIONS`."""
        with self._lock:
            first = self._first_quiet() if self._full else None
            if first is not None:
                del self._quiet[first]  # its thread ends with it
                _hang_up(first)
            elif self._full:
                return False
            self._quiet[request] = prefix_of(address)
            return True

    def asks(self, request: socket.socket) -> bool:
        """A whole request came; whether it is still there to be answered."""
        with self._lock:
            if self._quiet.pop(request, None) is None and request not in self._asking:
                return False
            self._asking.add(request)
            return True

    def waits(self, request: socket.socket, address: str) -> None:
        """It was answered, and may ask again."""
        with self._lock:
            if request in self._asking:
                self._asking.discard(request)
                self._quiet[request] = prefix_of(address)

    def leave(self, request: socket.socket) -> None:
        """It is closed."""
        with self._lock:
            self._quiet.pop(request, None)
            self._asking.discard(request)

    @property
    def _full(self) -> bool:
        return len(self._quiet) + len(self._asking) >= self._most

    def _first_quiet(self) -> socket.socket | None:
        networks = Counter(self._quiet.values())
        if not networks:
            return None
        most = max(networks, key=networks.__getitem__)
        return next(r for r, network in self._quiet.items() if network == most)


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _cut_off(request: socket.socket) -> Iterator[None]:
    timer = threading.Timer(CONNECTION_S, _hang_up, (request,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "framegate-witness", ""
    timeout = CONNECTION_S

    def do_POST(self) -> None:
        """Answer a submission."""
        if self.path != PATH:
            self._refuse(404, "POST /add-checkpoint\n")
            return
        if not self._may_ask():
            return
        length = self.headers.get("Content-Length", "")
        chunked = self.headers.get("Transfer-Encoding") is not None  # no second way to be long
        if chunked or not length.isascii() or not length.isdigit() or len(length) > 9:
            self._refuse(411, "a Content-Length\n")
            return
        if int(length) > MAX_SUBMISSION_BYTES:
            self._refuse(413, f"at most {MAX_SUBMISSION_BYTES} bytes\n")
            return
        body = self.rfile.read(int(length))
        if len(body) == int(length) and self.server.crowd.asks(self.connection):
            self._cosign(body)
            self.server.crowd.waits(self.connection, self.client_address[0])

    def do_GET(self) -> None:
        """Say whose key this is: whoever pins it got it another way."""
        if not self._may_ask():
            return
        self._answer(200 if self.path == "/" else 404, self.server.state.key.text + "\n")

    def _may_ask(self) -> bool:
        """Whether its network asks no more often than `RATE`; where it does that is answered."""
        network = prefix_of(self.client_address[0])
        if self.server.rates.take(network, int(time.monotonic() * 1000)):
            return True
        self._refuse(429, "too many requests of this address\n")
        return False

    def _cosign(self, body: bytes) -> None:
        try:
            submission = parse_submission(body)
        except FramegateError as error:
            self._answer(400, f"{error}\n")
            return
        try:
            line = self.server.state.cosign(submission)
        except Declined as declined:
            log.info("not cosigned: %s", declined)
            if declined.size is not None:
                self._answer(declined.status, f"{declined.size}\n", SIZE_TYPE)
            else:
                self._answer(declined.status, f"{declined}\n")
        except FramegateError as error:
            log.error("nothing is cosigned: %s", error)
            self._answer(503, "not now\n")
        else:
            self._answer(200, line)

    def _refuse(self, status: int, text: str) -> None:
        """Answer without having read the body: the connection ends."""
        self.close_connection = True
        self._answer(status, text)

    def _answer(self, status: int, text: str, kind: str = PLAIN) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """At INFO, and without what a stranger wrote that could steer a terminal."""
        log.info("%s %s", self.client_address[0], ascii(format % args)[:200])
