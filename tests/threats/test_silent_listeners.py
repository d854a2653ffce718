"""N189, N190: connections that ask nothing, at the listener for metrics and at the web console.

Where they are counted after TLS, or wait for ever, they shut everybody else out.
"""

import asyncio
import contextlib
import ssl

import pytest
import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding

from framegate_console import door
from framegate_console.certificate import server_tls
from framegate_console.server import behind_doors
from framegate_host.telemetry import listener
from support.monitoring import client, folder_of, issued
from support.scrape import get, listening, watched
from support.waiting import until

MOST = 4
PATIENCE_S = 60.0
"""For a request of somebody who means it, on a machine that stands still for a moment."""


async def silent(port: int, count: int, first: bytes = b""):
    """Connections that say `first`, and nothing more; each with what it hears."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in opened:
        writer.write(first)
    return opened


async def ended(opened, count: int) -> bool:
    """Whether so many of them were hung up on."""
    return sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened) >= count


@pytest.mark.parametrize("secured", [False, True], ids=["loopback", "tls"])
async def test_n189_whoever_says_nothing_gives_way_to_who_asks(tmp_path, monkeypatch, secured):
    """Also before TLS: a stranger without a certificate holds none of the few places."""
    monkeypatch.setattr(listener, "MAX_OPEN", MOST)
    monkeypatch.setattr(listener, "HEAD_S", 60.0)
    monkeypatch.setattr(listener, "FRESH_S", 0.0)
    authority = issued("monitoring", ca=True)
    clients = authority[1].public_bytes(Encoding.PEM)
    tls = folder_of(tmp_path / "tls", issued("metrics", authority), clients) if secured else None
    good = client(tmp_path, authority, issued("prometheus", authority)) if secured else None
    async with listening(watched(), tls) as at:
        crowd = await silent(at.port, 3 * MOST, b"\x16\x03\x01" if secured else b"GET /met")
        await until(lambda: len(at._silent) == MOST)
        for _ in range(3):
            status, page = await get(at.port, "/metrics", good)
            assert status == 200 and len(at._silent) <= MOST
        assert "framegate_scrapes_refused_total" in page
        for _, writer in crowd:
            writer.close()


# the console


class Slow:
    """An application with a page, a stream that goes on, and one that takes what is posted."""

    def __init__(self) -> None:
        self.streams = 0

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/take":
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            self.streams += 1
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        await send({"type": "http.response.body", "body": b"done"})


def waits(monkeypatch, seconds: float) -> None:
    """So long for a request, from now on; also on a connection that is there already."""
    monkeypatch.setattr(door, "HEAD_S", seconds)


@contextlib.asynccontextmanager
async def console(app, monkeypatch, tls=None):
    """A console's server around `app`; its port, and who is connected."""
    crowds = []

    class Counted(door.Crowd):
        def __init__(self) -> None:
            super().__init__(MOST)
            crowds.append(self)

    monkeypatch.setattr("framegate_console.server.Crowd", Counted)
    waits(monkeypatch, PATIENCE_S)
    monkeypatch.setattr(door, "LOOK_S", 0.02)
    config = uvicorn.Config(
        app, port=0, log_level="critical", ws="none", lifespan="off", http=behind_doors(tls)
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], crowds[0]
    finally:
        server.should_exit = server.force_exit = True
        await task


async def asked(port: int, path: str, tls: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="metrics" if tls else None
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def certificate(tmp_path):
    """A server's folder, and what a browser makes of it."""
    authority = issued("plant", ca=True)
    folder = folder_of(tmp_path / "tls", issued("metrics", authority), b"")
    for kind in ("pem", "key"):
        (folder / f"metrics.{kind}").rename(folder / f"console.{kind}")
    return server_tls(folder), client(tmp_path, authority)


@pytest.mark.parametrize("secured", [False, True], ids=["loopback", "tls"])
@pytest.mark.parametrize("first", [b"", b"GET / HT", b"\x16\x03\x01\x02"], ids=["", "half", "tls"])
async def test_n190_silent_connections_shut_nobody_out(tmp_path, monkeypatch, secured, first):
    server, browser = certificate(tmp_path) if secured else (None, None)
    async with console(Slow(), monkeypatch, server) as (port, crowd):
        opened = await silent(port, 3 * MOST, first)
        await until(lambda: len(crowd) == MOST or secured or first.startswith(b"\x16"))
        for _ in range(3):
            assert (await asked(port, "/", browser)).endswith(b"done\r\n0\r\n\r\n")
            assert len(crowd) <= MOST
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize("secured", [False, True], ids=["loopback", "tls"])
@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
    ],
    ids=["nothing", "half-a-head", "half-a-body"],
)
async def test_n190_what_does_not_come_is_not_waited_for(tmp_path, monkeypatch, secured, first):
    server, browser = certificate(tmp_path) if secured else (None, None)
    async with console(Slow(), monkeypatch, server) as (port, crowd):
        hears, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=browser, server_hostname="metrics" if secured else None
        )
        writer.write(first)
        waits(monkeypatch, 0.1)
        with contextlib.suppress(OSError):
            await asyncio.wait_for(hears.read(), 30)
        await until(lambda: not len(crowd))
        waits(monkeypatch, PATIENCE_S)
        assert (await asked(port, "/", browser)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_n190_a_second_request_that_trickles_is_not_waited_for_either(monkeypatch):
    async with console(Slow(), monkeypatch) as (port, crowd):
        hears, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(hears.readuntil(b"0\r\n\r\n"), 30)).startswith(
            b"HTTP/1.1 200"
        )
        waits(monkeypatch, 0.3)
        trickle = iter(b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000)
        with contextlib.suppress(OSError):
            while len(crowd):
                writer.write(bytes([next(trickle)]))
                await writer.drain()
                await asyncio.sleep(0.02)
        assert not len(crowd)
        writer.close()


async def test_n190_whoever_is_being_answered_gives_way_to_nobody(monkeypatch):
    app = Slow()
    async with console(app, monkeypatch) as (port, crowd):
        opened = await silent(port, MOST, b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: app.streams == MOST)
        waits(monkeypatch, 0.1)
        more = await silent(port, MOST)
        for hears, writer in more:
            with contextlib.suppress(OSError):
                assert await asyncio.wait_for(hears.read(), 30) == b""
            writer.close()
        assert len(crowd) == MOST and not await ended(opened, 1)
        for _, writer in opened:
            writer.close()
        await until(lambda: not len(crowd))


def test_n190_of_many_networks_the_one_with_most_quiet_connections_gives_way():
    class Quiet:
        quiet, gone = True, False

        def hang_up(self):
            self.gone = True

    crowd = door.Crowd(6)
    one, many = [Quiet() for _ in range(2)], [Quiet() for _ in range(4)]
    for number, each in enumerate(many):
        assert crowd.admit(each, f"2001:db8::{number}")
    for each in one:
        assert crowd.admit(each, "10.0.0.7")
    assert crowd.admit(Quiet(), "10.0.0.8") and many[0].gone and not any(e.gone for e in one)
