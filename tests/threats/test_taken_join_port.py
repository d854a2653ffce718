"""N236: the process at the join port, taken over: what it makes its controller hold, and write."""

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from framegate.codec import MOST_WHOLE
from framegate_controller.bundleport import port as bundle_port
from framegate_controller.fleet.strangers import StrangersRecord
from framegate_controller.joinport import child
from framegate_controller.joinport.limits import EVIDENCE_FLYING, LARGE_BYTES, SIGN_INS_FLYING
from framegate_controller.joinport.messages import (
    COMPLETE,
    MAX_CALL_BYTES,
    READY,
    REFUSALS,
    Known,
    PortAnswer,
    PortCall,
    PortSetup,
    RefusalReport,
    RefusedStrangers,
)
from framegate_controller.rpc import joinport
from framegate_controller.rpc.joinport import Behind, JoinPort
from framegate_controller.rpc.passed_calls import PassedCall
from framegate_controller.rpc.refusal_reports import record_refusals
from framegate_host.child_process import Child, open_socket_of
from framegate_proto.edge import read_record, write_record
from framegate_proto.v1 import framegate_pb2 as pb

SETUP = PortSetup(key=b"k", chain=b"c", token_key=bytes(32), fleet="plant", oidc_issuer="")
STRANGERS = 84 * 48 * 1024


class Taken:
    """A controller's side of its port, and the port's own end of the line, which is ours."""

    def __init__(self, monkeypatch) -> None:
        self.held: list[bytes] = []
        self.go = asyncio.Event()
        self.reports: list[bytes] = []
        self.begun, self.recorded = threading.Event(), threading.Event()

        async def answer(message, _context) -> pb.AttestationReply:
            self.held.append(message)
            await self.go.wait()
            return pb.AttestationReply()

        def refused(report: bytes) -> None:
            self.reports.append(report)
            self.begun.set()
            self.recorded.wait(20)

        async def started(_module, _passed, **_words) -> Child:
            ours, theirs = socket.socketpair()
            self.reader, self.writer = await asyncio.open_connection(sock=theirs)
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            opened = await open_socket_of(process, ours)
            self.there.set()
            return Child(process, *opened)

        self.there = asyncio.Event()
        monkeypatch.setattr(child, "start_module", started)
        calls = {COMPLETE: PassedCall(bytes, answer)}
        known = Known(eks=b"", tickets=b"")
        behind = Behind(calls, lambda: known, refused, lambda _why: None)
        self.port = JoinPort(socket.socket(), lambda: SETUP, behind)

    def says(self, method: str, message: bytes = b"", number: int = 0) -> None:
        call = PortCall(number=number, method=method, peer="ipv4:10.0.0.1", message=message)
        write_record(self.writer, call.marshal())

    async def hears(self) -> PortAnswer:
        while True:
            async with asyncio.timeout(20):
                raw = await read_record(self.reader, 2**24, "an answer")
            if PortAnswer.LABEL.encode() in raw[:64]:
                return PortAnswer.parse(raw)


@asynccontextmanager
async def taken_over(monkeypatch):
    """The line of a port, run on this loop instead of in a thread of its own."""
    taken = Taken(monkeypatch)
    serving = asyncio.create_task(taken.port._serve_once())
    await taken.there.wait()
    await read_record(taken.reader, 2**20, "its setup")
    taken.says(READY)
    try:
        yield taken
    finally:
        taken.go.set()
        taken.recorded.set()
        taken.writer.close()
        await asyncio.gather(serving, return_exceptions=True)


async def test_n236_what_it_passes_on_is_bounded_in_bytes(monkeypatch):
    async with taken_over(monkeypatch) as taken:
        for number in range(20):
            taken.says(COMPLETE, bytes(MAX_CALL_BYTES - 64), number)
        refused = [await taken.hears() for _ in range(15)]
        assert {a.status for a in refused} == {"RESOURCE_EXHAUSTED"}
        assert sum(map(len, taken.held)) <= joinport.MAX_FLYING_BYTES
        taken.go.set()
        served = [await taken.hears() for _ in range(20 - len(refused))]
        assert {a.status for a in served} == {""}
        taken.says(COMPLETE, bytes(MAX_CALL_BYTES - 64), 99)
        assert (await taken.hears()).status == "", "what was answered is no longer counted"


async def test_n236_a_port_that_keeps_its_own_limits_is_never_refused():
    own = EVIDENCE_FLYING * (LARGE_BYTES + 2**16) + MAX_CALL_BYTES + STRANGERS
    assert SIGN_INS_FLYING < 84 and own <= joinport.MAX_FLYING_BYTES


async def test_n236_reports_that_come_while_one_is_written_are_left_out(monkeypatch):
    async with taken_over(monkeypatch) as taken:
        for _ in range(500):
            taken.says(REFUSALS, b"r" * 1024)
        taken.says(REFUSALS, bytes(joinport.MAX_REPORT_BYTES + 1))
        taken.says("nothing", number=7)
        assert (await taken.hears()).number == 7, "it went through all of them"
        assert len(taken.port._flying) <= 2
        assert await asyncio.to_thread(taken.begun.wait, 20)
        taken.recorded.set()
    assert taken.reports == [b"r" * 1024]


async def test_n236_one_that_was_ended_is_over_though_somebody_holds_its_line(monkeypatch):
    monkeypatch.setattr(joinport, "BEAT_S", 0.01)
    monkeypatch.setattr(joinport, "MISSED_BEATS", 1)
    taken = Taken(monkeypatch)
    serving = asyncio.create_task(taken.port._serve_once())
    await taken.there.wait()
    taken.says(READY)  # and nothing more; our end of the line stays open
    with pytest.raises(EOFError):
        await asyncio.wait_for(serving, 20)
    assert taken.port.pid == 0 and not taken.writer.is_closing()
    taken.writer.close()


async def test_n236_so_is_one_at_the_bundles_port(monkeypatch):
    monkeypatch.setattr(bundle_port, "LOOK_S", 0.01)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child = Child(process, *await open_socket_of(process, ours))
    endpoint = bundle_port.BundleEndpoint(socket.socket(), lambda: None)
    monkeypatch.setattr(endpoint, "_setup", lambda: SimpleNamespace(marshal=lambda: b""))
    assert not await bundle_port._is_over(child, 0.1), "it lives, and has nothing to say"
    process.kill()
    process.wait()
    with theirs:  # somebody holds its end of the line
        assert await asyncio.wait_for(endpoint._outlived(child), 20) is False
    child.writer.close()


@pytest.mark.parametrize(
    ("reason", "prefix", "source"),
    [
        ("ek-unknown", "10.0.0.1", "10.0.0.1"),
        ("ek-unknown", "2001:db8:0:1::/64", "2001:db8:0:1::/64"),
        ("ek-unknown", "others", "others"),
        ("ek-unknown", "gone", "others"),
        ("ek-unknown", "everything is well", "others"),
        ("ek-unknown", "10.0.0.0/8", "others"),
        ("ek-unknown", "2001:db8::1", "others"),
    ],
)
def test_n236_it_writes_no_words_of_its_own(bench, reason, prefix, source):
    said = RefusedStrangers(reason=reason, prefix=prefix, count=2**64 - 1).marshal()
    named = RefusedStrangers(reason="operator anna did it", prefix=prefix, count=1).marshal()
    report = RefusalReport(refused=(said, said, named), version=1).marshal()
    record_refusals(StrangersRecord(bench.store), report)
    told = {e["members"]["reason"]: e["members"] for e in bench.events("strangers-refused")}
    assert set(told) == {reason, "others"}
    assert told[reason]["source"] == source and told[reason]["count"] == MOST_WHOLE
