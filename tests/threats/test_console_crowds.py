"""N188: strangers at the web console, or one person too busy there, who shut everybody else out.

The controller counts all that comes through a console as one network's.
"""

import asyncio
import json
import time

import pytest

from framegate.errors import Reason, Refused
from framegate_console.live import Live
from framegate_console.pages import live_page
from framegate_console.pages.line import LINE
from framegate_console.sessions import MOST_OF_ONE, Session, Sessions
from framegate_console.tries import TRIES
from framegate_proto.v1 import framegate_pb2 as pb
from support.asgi import SAME_ORIGIN
from support.console import console_at
from support.hostile_fleet import HostileCalls
from support.refusals import refused

ROOT_PEM = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
JSON = {**SAME_ORIGIN, "content-type": "application/json"}


def someone(name: str) -> Session:
    return Session(name, b"", b"k", None, (), int(time.time() * 1000) + 60_000, "127.0.0.1:1")


@pytest.fixture
def console(tmp_path):
    shown = console_at(ROOT_PEM, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    shown.desk = CountingDesk()
    shown.console.desk = shown.desk
    return shown


class CountingDesk:
    """The controller's sign-in service, which takes nothing and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name):
        async def asked(*_):
            self.asked.append(name)
            if name == "ways":
                return type("Ways", (), {"fleet": "plant", "oidc_issuer": "https://idp"})()
            if name == "oidc_begin":
                return pb.OidcBeginReply(url="https://idp/ask", state=b"\x01")
            raise Refused.of(Reason.SIGN_IN, "right", "wrong")

        return asked

    @property
    def tries(self) -> int:
        return sum(name != "ways" for name in self.asked)


async def by_key(browser):
    body = json.dumps({"state": "00", "response": {}}).encode()
    return await browser.ask("POST", "/signin/key", JSON, body)


async def key_begin(browser):
    return await browser.ask("POST", "/signin/key/begin", JSON, b'{"operator": ""}')


async def oidc_begin(browser):
    return await browser.post("/signin/provider")


async def oidc_return(browser):
    browser.jar = {"__Host-framegate-oidc": "01"}
    return await browser.get("/oidc?state=01&code=x")


async def by_password(browser):
    return await browser.post("/signin", operator="", password="x", code="1")


@pytest.mark.parametrize("way", [by_key, key_begin, oidc_begin, oidc_return, by_password])
async def test_n188_one_strangers_tries_through_a_console_are_few_whichever_way(console, way):
    stranger, person = (console.browser(client=c) for c in ("10.0.0.66", "10.0.0.7"))
    for _ in range(5 * TRIES):
        await way(stranger)
    assert console.desk.tries == TRIES, "the rest never left this machine"
    await way(person)
    assert console.desk.tries == TRIES + 1, "and somebody elsewhere is still asked for"


async def test_n188_a_flood_of_sign_in_pages_asks_the_controller_once(tmp_path):
    shown = console_at(ROOT_PEM, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    asked, desk = [], shown.console.desk

    async def answered(name, _request):
        asked.append(name)
        await asyncio.sleep(0)
        return pb.SignInMethodsReply(fleet="plant", oidc_issuer="https://idp")

    desk._asked = answered
    pages = await asyncio.gather(*(shown.browser().get("/signin") for _ in range(50)))
    assert {page.status for page in pages} == {200} and asked == ["Methods"]
    desk._known_at_s = float("-inf")
    await shown.browser().get("/signin")
    assert len(asked) == 2, "and later it is asked anew"


def test_n188_one_persons_sessions_take_nobody_elses_place():
    kept = Sessions(MOST_OF_ONE + 2)
    first = someone("anna")
    value, olga = kept.begin(first, None), kept.begin(someone("olga"), None)
    values = [kept.begin(someone("anna"), None) for _ in range(10 * MOST_OF_ONE)]
    assert first.ended and kept.of(value) is None
    assert sum(kept.of(v) is not None for v in values) == MOST_OF_ONE
    assert kept.of(olga).operator == "olga" and kept.begin(someone("bert"), None)


@pytest.mark.parametrize("wall", [False, True], ids=["session", "wall"])
async def test_n188_pages_that_follow_are_few_for_one_session_and_for_the_wall(console, wall):
    session = someone("anna")
    live = session.live = Live(session, HostileCalls())
    console.console.wall = live if wall else None
    most = live_page.MAX_WALL if wall else live_page.MAX_STREAMS
    visit = type("Seen", (), {"console": console.console, "packs": True})()
    opened = [live.changes(1.0) for _ in range(most)]
    for each in opened:
        await anext(each)
    assert refused(lambda: LINE.stream(visit, live, "")) == Reason.TOO_MANY_TRIES
    await opened.pop().aclose()
    assert LINE.stream(visit, live, "").media_type == "text/event-stream"
    for each in opened:
        await each.aclose()
    session.end()
