"""The console as a service: ready, a reload with the plant's next certificate, a stop."""

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate_console import server
from framegate_console.server import serve
from framegate_console.settings import ConsoleSettings
from framegate_host.operator_context import context_body
from framegate_host.rereading import Rereader
from framegate_host.settings import Given, resolve
from support.monitoring import folder_of, issued
from support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The socket of a service manager of ours."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        yield heard


async def next_told(told, first: str) -> list[str]:
    """The next of its datagrams that begins with `first`."""
    async with asyncio.timeout(60):
        while True:
            lines = (await asyncio.get_running_loop().sock_recv(told, 4096)).decode().splitlines()
            if lines[0].startswith(first):
                return lines


def certificate_in(folder, pair) -> None:
    folder_of(folder, pair, b"")
    (folder / "metrics.pem").rename(folder / "console.pem")
    (folder / "metrics.key").rename(folder / "console.key")


async def shown_at(port: int) -> bytes:
    """The certificate of whoever serves there, in DER."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anyone)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


async def test_it_tells_ready_takes_the_next_certificate_and_ends(tmp_path, told, caplog):
    root = issued("root", ca=True)[1].public_bytes(Encoding.PEM).decode()
    body = context_body("127.0.0.1:1", "127.0.0.1:2", "controller.plant.framegate", root)
    (tmp_path / "fleet.json").write_text(json.dumps(body))
    first, second = issued("console"), issued("console")
    certificate_in(tmp_path / "tls", first)
    chosen = {
        "context": tmp_path / "fleet.json",
        "tls": tmp_path / "tls",
        "ready_file": tmp_path / "ready.json",
        "listen": "127.0.0.1:0",
    }
    given = Given(flags={name: (str(value),) for name, value in chosen.items()})
    settings = resolve(ConsoleSettings, given).settings()
    serving = asyncio.create_task(serve(settings, Rereader(ConsoleSettings, given)))
    ready = await next_told(told, "READY=1")
    assert ready[1].startswith("STATUS=fleet ")
    assert await next_told(told, "WATCHDOG=1")
    port = int(json.loads((tmp_path / "ready.json").read_text())["address"].rpartition(":")[2])
    assert await shown_at(port) == first[1].public_bytes(Encoding.DER)

    (tmp_path / "tls/console.pem").write_bytes(second[1].public_bytes(Encoding.PEM))
    os.kill(os.getpid(), signal.SIGHUP)  # the key is still that of the other
    assert (await next_told(told, "READY=1"))[1] == "STATUS=settings were read again"
    assert "that of before serves" in caplog.text
    assert await shown_at(port) == first[1].public_bytes(Encoding.DER)

    certificate_in(tmp_path / "tls", second)
    os.kill(os.getpid(), signal.SIGHUP)
    assert (await next_told(told, "RELOADING=1"))[0] == "RELOADING=1"
    assert await next_told(told, "READY=1")
    assert await shown_at(port) == second[1].public_bytes(Encoding.DER)

    os.kill(os.getpid(), signal.SIGTERM)
    assert await next_told(told, "STOPPING=1")
    await until(serving.done)
    assert serving.exception() is None


async def test_what_it_needs_no_more_is_given_back_beside_the_loop(monkeypatch):
    """Nobody waits for the kernel; cycles alone are collected where what they end belongs to."""
    heap, collected = [], []
    monkeypatch.setattr(server, "SETTLE_S", 0.0)
    monkeypatch.setattr(server, "let_go_of_heap", lambda: heap.append(threading.get_ident()))
    collect = SimpleNamespace(collect=lambda: collected.append(threading.get_ident()))
    monkeypatch.setattr(server, "gc", collect)
    monkeypatch.setattr(server, "LibraryText", lambda: SimpleNamespace(let_go=lambda: None))
    settling = asyncio.create_task(server._settle())
    await until(lambda: len(heap) > 2)
    settling.cancel()
    here = threading.get_ident()
    assert set(collected) == {here} and here not in heap
