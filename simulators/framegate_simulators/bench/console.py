"""make bench-console: what the web console costs before a fleet of a thousand cameras and fifty
people who look at once. Writes build/bench-console.json; asserts nothing.

Controller, console and the browsers are processes of their own on one machine. A browser's stream
is read as a browser reads it; how soon a page can be used is asked of Chromium, where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import http.client
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.machines.lifecycle import Event, State
from framegate_console.rendering import static_files
from framegate_console.sessions import COOKIE
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.devices import change_state
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import Store
from framegate_simulators.fixtures.access import camera_of, signed_in
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.process_readings import processor_s, status_kib

CAMERAS: Final = 1_000
STREAMS: Final = 50
EVENTS: Final = 40
APART_S: Final = 0.7
"""Between two events: a bad minute, in which one camera after the other is held."""
IDLE_S: Final = 10.0
PATIENCE_S: Final = 120.0
LOADS: Final = 9
HEADERS: Final = {"Sec-Fetch-Site": "same-origin", "Accept-Encoding": "gzip"}
PAGE: Final = {
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip",
}
CHROMIUM: Final = "/usr/bin/chromium"


@dataclass(frozen=True, slots=True)
class Served:
    """A console that runs: its process, its port, and a cookie for each person."""

    pid: int
    controller: int
    port: int
    cookies: Sequence[str]


def bench_console(say: Callable[[str], None]) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="fg-console-") as name:
        folder = Path(name)
        keys = found_controller(folder)
        store = open_registry(folder / "registry.db")
        _register(store)
        say(f"{CAMERAS} cameras are registered")
        try:
            with _running(folder, keys, store) as served:
                figures: dict[str, Any] = {
                    "cameras": CAMERAS,
                    "streams": STREAMS,
                    "load_before": round(os.getloadavg()[0], 1),
                    "first_load": _first_load(served),
                }
                say(f"first load: {figures['first_load']}")
                figures["interactive"] = _interactive(served)
                say(f"interactive: {figures['interactive']}")
                figures |= asyncio.run(_watched(served, store, say))
                figures["rss_mib"] = status_kib(served.pid, "VmRSS") / 1024
                figures["rss_most_mib"] = status_kib(served.pid, "VmHWM") / 1024
        finally:
            store.close()
    return figures


def _register(store: Store) -> None:
    with store.writing() as tx:
        for number in range(CAMERAS):
            name, zone = f"cam{number:04}", f"line-{number % 9}"
            tx.devices.add(camera_of(name, State.TRUSTED, zone=zone, since_ms=tx.now_ms))


@contextmanager
def _running(folder: Path, keys: FleetKeys, store: Store) -> Iterator[Served]:
    people = []
    for number in range(STREAMS):
        name = f"person-{number:02}"
        key, chain = signed_in(store, keys, name, "viewer", "operator")
        people.append({"name": name, "key": key.decode(), "chain": chain.decode()})
    with (
        _process("console_controller", {"state": str(folder)}) as (controller, at),
        _process(
            "console_server",
            {
                "root": keys.root.pem.decode(),
                "authorities": [base64.b64encode(a).decode() for a in keys.authorities],
                "context": str(folder / "fleet.json"),
                "server_name": f"controller.{keys.fleet}.framegate",
                "people": people,
                **at,
            },
        ) as (console, told),
    ):
        yield Served(console.pid, controller.pid, told["port"], told["cookies"])


@contextmanager
def _process(role: str, told: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    argv = [sys.executable, "-m", f"framegate_simulators.bench.{role}"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        yield process, json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()


def _first_load(served: Served) -> dict[str, Any]:
    """Bytes of the line's page and everything it loads, compressed; and milliseconds to be sent
    the page.
    """
    sizes, took = [], []
    for _ in range(LOADS):
        begun = time.perf_counter()
        body = _get(served, "/", served.cookies[0])
        took.append((time.perf_counter() - begun) * 1000)
        sizes.append(len(body))
    page = gzip.decompress(body).decode()
    files = sum(len(f.body) for f in static_files().values() if f.address in page)
    return {
        "gzip_kib": round((max(sizes) + files) / 1024, 1),
        "page_ms": round(statistics.median(took), 1),
    }


def _get(served: Served, path: str, cookie: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    try:
        headers = {**PAGE, "Host": f"localhost:{served.port}", "Cookie": f"{COOKIE}={cookie}"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body
    finally:
        connection.close()


def _interactive(served: Served) -> dict[str, Any]:
    """Milliseconds until the line's page can be used, by the browser's own clock: its scripts ran,
    of which each is deferred.
    """
    if shutil.which(CHROMIUM) is None:
        return {"skipped": "no chromium here (apt-get install chromium)"}
    from playwright.sync_api import sync_playwright

    from framegate_simulators.plant.browser import chromium

    with sync_playwright() as playwright:
        browser = chromium(playwright)
        took = []
        for _ in range(LOADS):
            context = browser.new_context()
            context.add_cookies(
                [
                    {
                        "name": COOKIE,
                        "value": served.cookies[1],
                        "url": f"https://localhost:{served.port}",
                        "secure": True,
                        "httpOnly": True,
                        "sameSite": "Strict",
                    }
                ]
            )
            page = context.new_page()
            page.goto(f"http://localhost:{served.port}/")
            page.wait_for_selector(".card")
            took.append(
                page.evaluate(
                    "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                )
            )
            context.close()
        browser.close()
    return {"ms_median": round(statistics.median(took)), "ms_most": round(max(took))}


async def _watched(served: Served, store: Store, say: Callable[[str], None]) -> dict[str, Any]:
    """Events to fifty streams: how soon, and at what cost."""
    readers = [Reader(served.port, cookie) for cookie in served.cookies]
    tasks = []
    for reader in readers:  # people open their windows one after the other
        tasks.append(asyncio.create_task(reader.run()))
        await asyncio.wait_for(reader.begun.wait(), PATIENCE_S)
    await asyncio.sleep(3.0)
    before = _cpu(served)
    await asyncio.sleep(IDLE_S)
    idle = [(b - a) / IDLE_S for a, b in zip(before, _cpu(served), strict=True)]
    say(f"idle: console {idle[0]:.3f} and controller {idle[1]:.3f} of a core")
    before, begun = _cpu(served), time.monotonic()
    delays: list[float] = []
    for number in range(EVENTS):
        device = f"camera.line-{(CAMERAS - 1 - number) % 9}.cam{CAMERAS - 1 - number:04}"
        at = time.monotonic()
        await asyncio.to_thread(_hold, store, device)
        waits = [asyncio.wait_for(r.shows(device), PATIENCE_S) for r in readers]
        delays += [t - at for t in await asyncio.gather(*waits)]
        await asyncio.sleep(max(0.0, APART_S - (time.monotonic() - at)))
    took = time.monotonic() - begun
    spent = [b - a - i * took for a, b, i in zip(before, _cpu(served), idle, strict=True)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays.sort()
    return {
        "event_to_stream_s": {
            "p50": round(statistics.median(delays), 3),
            "p99": round(delays[math.ceil(0.99 * len(delays)) - 1], 3),
            "most": round(delays[-1], 3),
            "samples": len(delays),
        },
        "idle_core": {"console": round(idle[0], 3), "controller": round(idle[1], 3)},
        "cpu_ms_per_event_and_stream": {
            "console": round(1000 * spent[0] / EVENTS / STREAMS, 2),
            "controller": round(1000 * spent[1] / EVENTS / STREAMS, 2),
        },
        "bytes_per_event_and_stream": round(sum(r.bytes for r in readers) / STREAMS / EVENTS),
    }


class Reader:
    """One window's stream of the line's page."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port, self._cookie = port, cookie
        self.begun = asyncio.Event()
        self.bytes = 0
        self._page, self._at = "", 0.0
        self._new = asyncio.Condition()

    async def run(self) -> None:
        """Read until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        lines = [
            "GET /live/line?key= HTTP/1.1",
            f"Host: localhost:{self._port}",
            f"Cookie: {COOKIE}={self._cookie}",
            *(f"{k}: {v}" for k, v in HEADERS.items()),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            unpacking, rest = zlib.decompressobj(zlib.MAX_WBITS | 16), ""
            while size := int(await reader.readline(), 16):
                piece = await reader.readexactly(size + 2)
                self.bytes += size
                rest += unpacking.decompress(piece[:-2]).decode()
                *events, rest = rest.split("\n\n")
                for event in events:
                    if not event.startswith(("event:", ":", "retry")):
                        await self._show(event)
        finally:
            writer.close()

    async def _show(self, page: str) -> None:
        self.begun.set()
        async with self._new:
            self._page, self._at = page, time.monotonic()
            self._new.notify_all()

    async def shows(self, device: str) -> float:
        """When the page first had the machine on it."""
        wanted = f'href="/camera/{device}"'
        async with self._new:
            await self._new.wait_for(lambda: wanted in self._page)
            return self._at


def _hold(store: Store, device: str) -> None:
    with store.writing() as tx:
        change_state(tx, tx.devices.find(device), Event.QUARANTINE, by="operator.bench")


def _cpu(served: Served) -> tuple[float, float]:
    """Seconds of a core that console and controller took so far."""
    return processor_s(served.pid), processor_s(served.controller)


def main() -> None:
    """make bench-console."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    figures = bench_console(say)
    text = json.dumps(figures, indent=1) + "\n"
    (args.build / "bench-console.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    run_to_its_end(main)
