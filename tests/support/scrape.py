"""Scraping a program's metrics as Prometheus and a probe do."""

import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from framegate_host.telemetry.exposition import Exposition
from framegate_host.telemetry.families import SHARED, Family, FamilyKind, Label
from framegate_host.telemetry.health import Checks
from framegate_host.telemetry.listener import MetricsListener, Watched
from support.paths import ROOT

COUNTS = Family(
    "framegate_test_total", FamilyKind.COUNTER, "Tests.", (Label("kind", frozenset({"a", "b"})),)
)
TOOK = Family(
    "framegate_test_duration_seconds",
    FamilyKind.HISTOGRAM,
    "How long they took.",
    (Label("kind", frozenset({"a", "b"})),),
    (0.1, 1.0),
)
DEVICES = Family("framegate_test_device", FamilyKind.GAUGE, "Machines.", (Label("device", None),))
FAMILIES = (*SHARED, COUNTS, TOOK, DEVICES)


def watched(read=None, checks=()) -> Watched:
    async def nothing():
        return []

    return Watched("line", Exposition(FAMILIES), Checks(checks), read or nothing)


@contextlib.asynccontextmanager
async def listening(shown: Watched, tls: Path | None = None, at: str = "127.0.0.1:0"):
    listener = MetricsListener(at, tls, shown)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def raw(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="metrics" if tls else None
    )
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


async def get(port: int, path: str, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body."""
    reply = await raw(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), tls)
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def series(page: str) -> dict[tuple, float]:
    """Every sample of a page: (name, labels) to its value."""
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
    }


def tool(name: str) -> str:
    """promtool or prometheus, which `make setup-dev` unpacks; elsewhere the test is skipped."""
    found = shutil.which(name, path=f"{ROOT / '.venv/bin'}:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed: make setup-dev unpacks Debian's prometheus")
    return found


def promtool_is_pleased(page: str) -> None:
    """`promtool check metrics` has nothing to say."""
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=page.encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
