"""The listener for scrapers and probes: on loopback, or with certificates on both sides.

It shares no port with anything else. Whoever reaches it reads; nothing can be told it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from framegate.errors import Reason, Unavailable
from framegate.identity.certificates import Purpose
from framegate_host.certificate_end import BroughtCertificate, tell_end
from framegate_host.telemetry.exposition import Exposition, Page
from framegate_host.telemetry.families import (
    BUILD,
    CERTIFICATE_ENDS,
    CHECK,
    SCRAPES_REFUSED,
    Reading,
)
from framegate_host.telemetry.health import Checks, Health
from framegate_host.telemetry.http_request import MAX_HEAD, HttpReply, HttpRequest, parse_request
from framegate_host.telemetry.listener_certificates import listener_certificates
from framegate_host.undelayed import undelayed

log = logging.getLogger(__name__)
MAX_OPEN: Final = 16
"""Connections at once, counted before TLS: a pair of Prometheus servers and some probes have four.
Whoever has not asked anything yet gives way to whoever comes.
"""
HEAD_S: Final = 5.0
"""For a request's head, and for TLS before it: a scraper's is one packet."""
ANSWER_S: Final = 20.0
"""For an answer to be taken. Prometheus gives up after ten seconds by default."""
ACCEPT_AGAIN_S: Final = 0.1
"""After this host would not give a connection."""
FRESH_S: Final = 1.0
"""Readings are used again for so long: whoever asks faster gets the same page."""
_VERSION: Final = importlib.metadata.version("framegate")


@dataclass(frozen=True, slots=True)
class Watched:
    """What a program shows: its name, its checks, and what reads its families."""

    program: str
    exposition: Exposition
    checks: Checks
    read: Callable[[], Awaitable[list[Reading]]]


class MetricsListener:
    """Serves /metrics, /livez and /readyz. `start` binds; one object, one listener."""

    def __init__(self, at: str, tls: Path | None, watched: Watched) -> None:
        self._at, self._tls, self._watched = at, tls, watched
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._context: ssl.SSLContext | None = None
        self._certificates: dict[str, BroughtCertificate] = {}
        self._telling: list[asyncio.Task[None]] = []
        self._silent: dict[asyncio.Task[None], bool] = {}
        """Who is connected, in the order they came, and whether they have asked nothing so far."""
        self._refused = 0
        self._scraping = asyncio.Lock()
        self._kept: list[Reading] = []
        self._kept_at = float("-inf")

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        return int(self._listening.getsockname()[1]) if self._listening is not None else 0

    async def start(self) -> None:
        """Raises Unavailable where the address is taken, or the folder of certificates is not
        whole.
        """
        host, _, port = self._at.rpartition(":")
        try:
            self._context = _context(self._tls) if self._tls is not None else None
        except (OSError, ssl.SSLError) as error:
            wanted = f"metrics.pem, metrics.key and clients.pem in {self._tls}"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, error) from error
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            there = (host.strip("[]"), int(port))
            self._listening = undelayed(socket.create_server(there, family=family))
        except (OSError, OverflowError) as error:
            hint = "another program listens there: choose another port for --metrics"
            wanted = f"{self._at} free to listen on"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, error, hint) from error
        self._listening.setblocking(False)
        if self._tls is not None:
            self._certificates = listener_certificates(self._tls)
        self._telling = [asyncio.create_task(tell_end(c)) for c in self._certificates.values()]
        self._accepting = asyncio.create_task(self._accept(self._listening))

    async def stop(self) -> None:
        """Listen no more; connections that are open end with their answer or its time."""
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        if self._accepting is not None:
            self._accepting.cancel()
            # the loop forgets the descriptor with the task's end: closed before, its number is
            # another's by then
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except OSError:  # no descriptor is left, for instance
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self._silent) >= MAX_OPEN and not self._made_way():
                self._refused += 1
                connected.close()
                continue
            serving = loop.create_task(self._serve(connected))
            self._silent[serving] = True
            serving.add_done_callback(lambda done: self._silent.pop(done, None))

    def _made_way(self) -> bool:
        """Whether one that has asked nothing so far, the one that came first, was hung up on."""
        first = next((serving for serving, silent in self._silent.items() if silent), None)
        if first is None:
            return False
        del self._silent[first]
        self._refused += 1
        first.cancel()
        return True

    async def _serve(self, connected: socket.socket) -> None:
        writer = None
        try:
            async with asyncio.timeout(HEAD_S):
                reader, writer = await self._streams(connected)
                if self._context is not None and _is_of_a_fleet(writer):
                    self._refused += 1
                    return
                head = await reader.readuntil(b"\r\n\r\n")
            serving = asyncio.current_task()
            if serving not in self._silent:  # it gave way meanwhile
                return
            self._silent[serving] = False
            asked = parse_request(head[:-4])
            async with asyncio.timeout(ANSWER_S):
                reply = await self._answer(asked)
                writer.write(reply.encoded(head_only=asked is not None and asked.head_only))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("a reader of metrics hung up")
        finally:
            if writer is not None:
                writer.transport.abort()
            connected.close()

    async def _streams(
        self, connected: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """TLS first, where there is any. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connected,
            ssl=self._context,
            ssl_handshake_timeout=HEAD_S if self._context else None,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _answer(self, asked: HttpRequest | None) -> HttpReply:
        if asked is None:
            return HttpReply(400, b"GET /metrics, /livez or /readyz?verbose\n")
        if asked.path == "/livez":
            # the event loop took this request and answers it: that is what being alive means
            return HttpReply(200, b"ok\n")
        if asked.path not in {"/readyz", "/metrics"}:
            return HttpReply(404, b"there are /metrics, /livez and /readyz?verbose\n")
        try:
            if asked.path == "/readyz":
                health = await asyncio.to_thread(self._watched.checks.look)
                page = health.page(verbose="verbose" in asked.query)
                return HttpReply(200 if health.ready else 503, page.encode("ascii", "replace"))
            shown = await self._page(asked.accept)
            return HttpReply(200, shown.body, shown.kind)
        except Exception:  # a scrape that fails must not end the program that is watched
            log.exception("metrics cannot be read")
            return HttpReply(500, b"metrics cannot be read: see the program's log\n")

    async def _page(self, accept: str) -> Page:
        async with self._scraping:
            if time.monotonic() - self._kept_at >= FRESH_S:
                health = await asyncio.to_thread(self._watched.checks.look)
                own = [*self._own(health)]
                self._kept = [*own, *await self._watched.read()]
                self._kept_at = time.monotonic()
            return await asyncio.to_thread(self._watched.exposition.page, self._kept, accept)

    def _own(self, health: Health) -> Iterator[Reading]:
        yield Reading(BUILD, 1, (self._watched.program, _VERSION))
        yield Reading(SCRAPES_REFUSED, self._refused)
        for name, certificate in self._certificates.items():
            yield Reading(CERTIFICATE_ENDS, certificate.life().ends.timestamp(), (name,))
        for name, problem in health.problems.items():
            yield Reading(CHECK, 0 if problem else 1, (name,))


@contextlib.asynccontextmanager
async def watching(
    at: str, tls: Path | None, watched: Watched
) -> AsyncIterator[MetricsListener | None]:
    """Serve `watched` meanwhile, where `at` says so."""
    if not at:
        yield None
        return
    listener = MetricsListener(at, tls, watched)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


def _context(folder: Path) -> ssl.SSLContext:
    """TLS 1.3 with a certificate on both sides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "metrics.pem", folder / "metrics.key")
    context.load_verify_locations(folder / "clients.pem")
    return context


def _is_of_a_fleet(writer: asyncio.StreamWriter) -> bool:
    """Whether the client's certificate is one of a fleet's machines or people: whoever puts the
    fleet's root into clients.pem does not mean that every camera reads about the others.
    """
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if not shown:
        return True
    try:
        usage = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(
            x509.ExtendedKeyUsage
        )
    except x509.ExtensionNotFound:
        return False
    return any(usage_id in _PURPOSES for usage_id in usage.value)


_PURPOSES: Final = frozenset(p.value for p in Purpose)
