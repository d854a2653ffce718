"""The console's process: an HTTP server, its certificate, and what it says when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from framegate_console.app import application
from framegate_console.certificate import brought, server_tls, take_chain
from framegate_console.door import AT_ONCE, Crowd, Door
from framegate_console.sessions import Sessions
from framegate_console.settings import ConsoleSettings
from framegate_console.signing_in import SignInDesk
from framegate_console.visit import Console
from framegate_host.certificate_end import tell_end
from framegate_host.logs import started
from framegate_host.mapped_text import LibraryText, let_go_of_heap
from framegate_host.ready_file import write_ready
from framegate_host.rereading import Rereader
from framegate_host.service_manager import ServiceManager, service_manager
from framegate_host.signals import STOP_SIGNALS
from framegate_host.undelayed import undelayed
from framegate_host.watchdog import watched_over
from framegate_operator.contexts import read_context

IDLE_S: Final = 30
SETTLE_S: Final = 5
"""How often the console gives back what only its start, or a first time, needed (ADR 52)."""
END_S: Final = 3
"""Streams never end by themselves; whoever has one open comes back."""


class _Server(uvicorn.Server):
    """Ends by the stop signals with exit code 0, as our other programs do, and tells a service
    manager of its ready, its reload and its end. SIGHUP calls `reload`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        manager: ServiceManager,
        status: str,
        reload: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._manager, self._status, self._reload = manager, status, reload

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`: once it returns, connections are taken."""
        await super().startup(sockets)
        self._manager.ready(self._status)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """On the loop, and not by handlers that raise the signal again in the end."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._again)
        yield

    def _stop(self) -> None:
        self._manager.stopping("finishing what is under way")
        self.should_exit = True

    def _again(self) -> None:
        self._manager.reloading()
        self._reload()
        self._manager.ready("settings were read again")


def console_of(settings: ConsoleSettings) -> Console:
    """What the process has. A session in the fleet's context is not used: people bring their own.

    Raises Refused, Unavailable.
    """
    context = read_context(settings.context)
    context.operator, context.certificate, context.key, context.expires_ms = "", b"", b"", 0
    return Console(settings, context, SignInDesk(context), Sessions(settings.sessions))


async def serve(settings: ConsoleSettings, reader: Rereader) -> None:
    """Serve until it is stopped. Raises Refused, Unavailable, OSError where it cannot listen."""
    await serve_console(console_of(settings), listening_at(settings.listen), reader.read_again)


async def serve_console(
    console: Console, listening: socket.socket, read_again: Callable[[], object] = lambda: None
) -> None:
    """Serve `console` to whoever comes to `listening`, until a stop signal; SIGHUP has its settings
    and certificate read again.
    """
    settings = console.settings
    tls = server_tls(settings.tls) if settings.tls else None

    def reload() -> None:
        read_again()
        if settings.tls is not None and tls is not None:
            take_chain(tls, settings.tls)

    config = uvicorn.Config(
        application(console),
        http=behind_doors(tls),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=END_S,
    )
    port = listening.getsockname()[1]
    scheme = "https" if settings.tls else "http"
    name = settings.name[0] if settings.name else "localhost"
    address = f"{scheme}://{name}" if ":" in name else f"{scheme}://{name}:{port}"
    if settings.ready_file is not None:
        write_ready(settings.ready_file, {"address": address})
    started.info("the console of fleet %s is at %s", console.fleet, address)
    manager = service_manager()
    status = f"fleet {console.fleet}: browsers come to {address}"
    server = _Server(config, manager, status, reload)
    # its one loop is the one that feeds
    async with watched_over(manager, lambda: ()), asyncio.TaskGroup() as beside:
        tasks = [beside.create_task(_settle())]
        if settings.tls:
            tasks.append(beside.create_task(tell_end(brought(settings.tls))))
        await server.serve([listening])
        for task in tasks:
            task.cancel()


async def _settle() -> None:
    """Keep mapped of libraries what is in use, and of the heap what is not freed: first connections
    initialise much that others do not run again. Only cycles are collected here, in some
    milliseconds: what they end may belong to the loop. The rest is the kernel's work, and a
    thread's to wait for.
    """
    text = LibraryText()

    def let_go() -> None:
        let_go_of_heap()
        text.let_go()

    while True:
        await asyncio.sleep(SETTLE_S)
        gc.collect()
        await asyncio.to_thread(let_go)


def behind_doors(tls: ssl.SSLContext | None) -> Any:
    """What uvicorn makes for each connection: our door, and its own protocol behind it."""
    crowd = Crowd()

    def made(**given: Any) -> Door:
        return Door(crowd, tls, lambda: H11Protocol(**given))

    return made


def listening_at(at: str) -> socket.socket:
    """A socket that listens at host:port. Raises OSError."""
    host, _, port = at.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host.strip("[]"), int(port)))
    listening.listen(AT_ONCE)
    return undelayed(listening)
