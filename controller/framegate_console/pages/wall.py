"""The wall board: the line for everybody in the hall, with a viewer's credential of its own."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from framegate.access.verbs import Role
from framegate.errors import Reason, Refused
from framegate.identity.pem import certificates
from framegate_console.live import Live
from framegate_console.pages.line import load
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.sessions import Session
from framegate_console.visit import Console, Visit
from framegate_operator.contexts import OperatorContext, read_context
from framegate_proto.v1 import framegate_pb2 as pb

MAY: Final = frozenset({Role.VIEWER})
"""What whoever the wall board is may be: everybody in the hall is shown what it may see."""


def wall_session(context: OperatorContext) -> Session:
    """The session in a signed-in context. Raises Refused (SIGNED_OUT) where there is none."""
    session = Session(
        context.operator,
        context.certificate,
        context.key,
        context.root_certificate,
        certificates(context.authorities, context.path),
        context.expires_ms,
        context.fleet_address,
    )
    if not context.key or session.over:
        hint = f"framegate login {context.operator or 'NAME'} --context {context.path}"
        raise Refused.of(Reason.SIGNED_OUT, "a viewer who is signed in", "nobody", hint)
    return session


def require_viewer(roles: list[str], operator: str) -> None:
    """That the wall board's operator is a viewer and nothing else. Raises Refused (WRONG_ROLE)."""
    if not roles or {r.partition("@")[0] for r in roles} - MAY:
        hint = "an operator for the wall board alone: framegate operator add wall --role viewer"
        seen = f"{operator}: {', '.join(roles) or 'no role'}"
        raise Refused.of(Reason.WRONG_ROLE, "a viewer and nothing else", seen, hint)


def wall_live(console: Console) -> Live:
    """What follows the fleet for the wall board; its context is read anew after its session ended.

    Raises Refused (NOT_FOUND) where there is no wall board, (SIGNED_OUT) where nobody is signed in.
    """
    file = console.settings.wall
    if file is None:
        raise Refused.of(Reason.NOT_FOUND, "a wall board", "none", "framegate-console run --wall")
    if console.wall is None or console.wall.session.over:
        console.wall = console.follow(wall_session(read_context(file)))
    return console.wall


async def show(visit: Visit) -> Response:
    """The board as it is now; nothing on it leads to a page of somebody who is signed in."""
    live = wall_live(visit.console)
    await _viewer(live)
    loaded = await WALL.load(live, "")
    return visit.show("wall.html", title="wall.title", live="/wall/live", wall=True, **loaded)


async def stream(visit: Visit) -> Response:
    """Its changes."""
    live = wall_live(visit.console)
    await _viewer(live)
    return WALL.stream(visit, live, "")


async def load_wall(live: Live, key: str) -> Loaded:
    """The line, for a viewer. Once the record grew that is asked again: whoever becomes more than a
    viewer while the board is looked at shows everybody no more than before.
    """
    _require(await live.asked("WhoAmI", pb.WhoAmIRequest()))
    return await load(live, key)


async def _viewer(live: Live) -> None:
    _require(await live.calls.operator("WhoAmI", pb.WhoAmIRequest()))


def _require(who: pb.WhoAmIReply) -> None:
    elevated = [e.role for e in who.elevations]
    require_viewer([*who.roles, *elevated], who.operator)


WALL: Final = LivePage("wall", "wall.html", load_wall, least_s=0.5)
