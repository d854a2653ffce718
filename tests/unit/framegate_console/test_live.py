"""What is followed for a session: asked for once however many windows show it, and anew when the
record grew.
"""

import asyncio
import time
from collections import Counter

import pytest

from framegate.errors import Reason, Refused, Unavailable
from framegate_console.live import Live
from framegate_console.sessions import Session
from framegate_proto.v1 import framegate_pb2 as pb
from support.waiting import until

GATEWAY = "gateway.line-1.gw1"
LISTED = pb.ListRequest()


class Told:
    """Answers of a controller, counted; events come when they are put."""

    def __init__(self):
        self.asked, self.errors = Counter(), {}
        self.silent = self.standing = False
        self.events = asyncio.Queue()

    async def operator_bytes(self, name, request):
        return (await self.operator(name, request)).SerializeToString()

    async def operator(self, name, _request, *, reason=""):
        self.asked[name] += 1
        await (asyncio.Event().wait() if self.silent else asyncio.sleep(0))
        if name in self.errors:
            raise self.errors[name]
        gateway = pb.DeviceSummary(
            device=GATEWAY, kind="gateway", state="trusted", operator_addresses=["127.0.0.1:1"]
        )
        listed = pb.ListReply(devices=[gateway] if self.standing else [])
        return listed if name == "List" else None

    async def gateway(self, _at, name, _request, **_):
        self.asked[name] += 1
        await asyncio.sleep(0)
        return {"Status": pb.GatewayStatus(gate_open=True), "ListVerdicts": pb.Verdicts()}[name]

    async def watched(self, at, _request):
        self.asked[f"watched {at.device}"] += 1
        yield pb.Verdicts()
        await asyncio.Event().wait()

    async def operator_watched(self, name, _request):
        self.asked[name] += 1
        while (event := await self.events.get()) is not None:
            yield pb.EventsReply(events=[event])

    def close(self):
        pass


@pytest.fixture
async def live():
    session = Session("anna", b"", b"k", None, (), int(time.time() * 1000) + 60_000, "127.0.0.1:1")
    followed = Live(session, Told())
    yield followed
    session.end()


async def test_fifty_windows_ask_once(live):
    await asyncio.gather(*(live.look() for _ in range(50)))
    assert live.calls.asked == {"List": 1}
    assert await live.look() is await live.look()


async def test_an_entry_has_it_asked_anew_and_a_window_told(live):
    windows = [asyncio.create_task(_shown(live, 3)) for _ in range(5)]
    await until(lambda: live.calls.asked["WatchEvents"])
    await live.look()
    for index in (7, 8):
        version = live.version
        live.calls.events.put_nowait(pb.EventRow(index=index))
        await until(lambda v=version: live.version > v)
        await live.look()
    assert live.calls.asked == {"WatchEvents": 1, "List": 3}
    live.calls.events.put_nowait(pb.EventRow(index=8))
    await live.look()
    assert live.calls.asked["List"] == 3, "the same entry again is nothing new"
    assert await asyncio.gather(*windows) == [3] * 5


async def test_gateways_that_stand_are_heard_while_a_window_is_open_and_once_each(live):
    live.calls.standing = True
    windows = [asyncio.create_task(_shown(live, 1000)) for _ in range(3)]
    await until(lambda: live.open_pages == 3)
    await asyncio.gather(*(live.look() for _ in range(9)))
    await until(lambda: live.calls.asked[f"watched {GATEWAY}"])
    assert live.calls.asked[f"watched {GATEWAY}"] == live.calls.asked["ListVerdicts"] == 1
    assert live.calls.asked["Status"] == 1
    for window in windows:
        window.cancel()
    await asyncio.gather(*windows, return_exceptions=True)
    assert live.open_pages == 0


async def _shown(live, most: int) -> int:
    seen = 0
    async for _ in live.changes(30.0):
        seen += 1
        if seen == most:
            break
    return seen


async def test_a_machine_that_moved_is_known_without_a_list_of_all(live):
    live.calls.standing = True
    window = asyncio.create_task(_shown(live, 1000))
    live.calls.events.put_nowait(pb.EventRow(index=1))
    await until(lambda: live.events)
    await live.look()
    asked = live.calls.asked["List"]
    for row, state, more in (
        (pb.EventRow(index=2, device=GATEWAY, to_state="suspect", at_ms=5), "suspect", 0),
        (pb.EventRow(index=3, device=GATEWAY, to_state="trusted", at_ms=6), "trusted", 0),
        (pb.EventRow(index=4, device="camera.line-1.new", to_state="trusted"), "trusted", 1),
        (pb.EventRow(index=5, device=GATEWAY), "trusted", 1),
    ):
        live.calls.events.put_nowait(row)
        await until(lambda r=row: live.events[0].index == r.index)
        look = await live.look()
        assert look.devices[0].state == state
        asked += more
        assert live.calls.asked["List"] == asked
    window.cancel()
    await asyncio.gather(window, return_exceptions=True)


async def test_a_verdict_has_nothing_asked_anew(live):
    await live.look()
    await live._tell()
    await live.look()
    assert live.calls.asked["List"] == 1


async def test_whoever_did_something_sees_what_came_of_it(live):
    await live.look()
    live.expire()
    await live.look()
    assert live.calls.asked["List"] == 2


async def test_what_nobody_answered_is_asked_again_and_what_was_refused_is_not(live):
    live.calls.errors = {
        "List": Unavailable.of(Reason.UNAVAILABLE, "an answer", "none"),
        "ListAccess": Refused.of(Reason.POLICY_DENIED, "a role", "none"),
    }
    for _ in range(3):
        with pytest.raises(Unavailable):
            await live.asked("List", LISTED)
        with pytest.raises(Refused):
            await live.asked("ListAccess", pb.ListAccessRequest())
    assert live.calls.asked == {"List": 3, "ListAccess": 1}


async def test_what_is_old_is_asked_again_also_where_nobody_listens(live, monkeypatch):
    from framegate_console import live as module

    monkeypatch.setattr(module, "KEPT_UNFOLLOWED_S", 0.0)
    await live.asked("List", LISTED)
    await live.asked("List", LISTED)
    assert live.calls.asked["List"] == 2


async def test_a_session_that_ends_drops_what_it_asked(live):
    live.calls.silent = True
    waiting = asyncio.create_task(live.look())
    await until(lambda: live.calls.asked["List"])
    live.session.end()
    with pytest.raises(Refused) as over:
        await waiting
    assert over.value.reason == Reason.SIGNED_OUT
