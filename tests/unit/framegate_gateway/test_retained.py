"""A gateway that keeps its receipts within their quota says so, in a leaf of its own."""

import asyncio
import sqlite3
from types import SimpleNamespace

import pytest

from framegate_gateway.receipts import retention
from framegate_gateway.receipts.retention import Taken, keep_within_quota


class Process:
    """The members of a gateway process that keep its receipts."""

    def __init__(self, *runs) -> None:
        self.runs, self.events, self.done = list(runs), [], asyncio.Event()
        self.retention = SimpleNamespace(run=self.run)
        self.maker = SimpleNamespace(event=self.event)

    def run(self):
        one = self.runs.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def event(self, _identifier, *said):
        self.events.append(said)
        self.done.set()


async def test_n149_what_went_stands_in_the_record(monkeypatch):
    monkeypatch.setattr(retention, "RETAIN_S", 0)
    process = Process(
        [], sqlite3.OperationalError("database is locked"), [Taken("camera.line-1.cam1", 7, 99)]
    )
    with pytest.raises(IndexError):  # no fourth run: the loop went on past the fault
        async with asyncio.timeout(20):
            await keep_within_quota(process.retention, process.maker.event)
    detail = {"device": "camera.line-1.cam1", "receipts": 7, "until_ms": 99}
    assert process.events == [("receipts-pruned", "gateway", detail)]
