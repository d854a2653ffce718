"""Signing in and out, and showing a second factor again."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, JSONResponse, Response

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate_console.sessions import COOKIE, Session
from framegate_console.visit import LANGUAGE_COOKIE, Visit
from framegate_console.wording import LANGUAGES
from framegate_proto.v1 import framegate_pb2 as pb

OIDC_COOKIE: Final = "__Host-framegate-oidc"
OIDC_S: Final = 600
YEAR_S: Final = 365 * 86_400
HEARD_S: Final = 1.5
"""A gateway hears of a factor by its feed from the controller, within a second or so."""


async def sign_in(visit: Visit, failure: Any = None, status: int = 200) -> Response:
    """The page that asks who somebody is."""
    issuer, problem = "", failure
    try:
        issuer = (await visit.console.desk.ways()).oidc_issuer
    except FramegateError as error:
        problem = problem or error.failures[0]
    return visit.show(
        "signin.html",
        status,
        title="signin.title",
        failure=problem,
        issuer=issuer,
        back=_back(visit.asked("next")),
        scripts=("keys.js",),
    )


async def by_password(visit: Visit) -> Response:
    """A session by password and code."""
    form = await visit.form()
    name = form.get("operator", "")
    try:
        visit.console.tries.begin(visit.address, name, time.monotonic())
        session = await visit.console.desk.by_password(
            name, form.get("password", ""), form.get("code", "").replace(" ", "")
        )
    except FramegateError as error:
        return await sign_in(visit, error.failures[0], 403)
    return _began(visit, session, visit.go(_back(form.get("next", ""))))


async def key_begin(visit: Visit) -> Response:
    """WebAuthn's challenge, for the page's script."""
    body = await visit.json()
    name = str(body.get("operator", ""))
    visit.console.tries.begin(visit.address, name, time.monotonic())
    challenge = await visit.console.desk.key_begin(name)
    return _challenge(challenge)


async def by_key(visit: Visit) -> Response:
    """A session by what a security key answered."""
    body = await visit.json()
    visit.console.tries.begin(visit.address, "", time.monotonic())
    session = await visit.console.desk.by_key(_hex(body.get("state")), _answer(body))
    return _began(visit, session, JSONResponse({"next": _back(str(body.get("next", "")))}))


async def oidc_begin(visit: Visit) -> Response:
    """On to the provider. The sign-in that was begun is kept in a cookie of this browser, so that
    nobody is signed in by an answer to somebody else's (login CSRF). A link and no redirection:
    forms lead nowhere but here.
    """
    scheme = "https" if visit.console.settings.tls else "http"
    visit.console.tries.begin(visit.address, "", time.monotonic())
    redirect = f"{scheme}://{visit.request.headers['host']}/oidc"
    begun = await visit.console.desk.oidc_begin(redirect)
    response = visit.show("onward.html", title="signin.title", address=begun.url)
    # Lax: it has to come along when the provider sends the browser back
    _cookie(response, OIDC_COOKIE, begun.state.hex(), OIDC_S, "lax")
    return response


async def oidc_return(visit: Visit) -> Response:
    """What the provider answered, to the sign-in that this very browser began."""
    begun, state = visit.request.cookies.get(OIDC_COOKIE, ""), visit.asked("state")
    if not begun or begun != state:
        wanted, hint = "the answer to a sign-in of this browser", "sign in again"
        raise Refused.of(Reason.SIGN_IN, wanted, "another", hint)
    code = visit.asked("code")
    if not code:
        came = ascii(visit.asked("error")[:80])
        raise Refused.of(Reason.SIGN_IN, "the provider's consent", came, "sign in again")
    visit.console.tries.begin(visit.address, "", time.monotonic())
    session = await visit.console.desk.by_provider(_hex(state), code)
    visit.session = None
    # a page, not a redirection: one that another site began carries no strict cookie
    page = HTMLResponse(visit.rendered("returned.html"))
    page.delete_cookie(OIDC_COOKIE, secure=True, httponly=True)
    return _began(visit, session, page)


async def sign_out(visit: Visit) -> Response:
    """End the session, here and at the controller."""
    try:
        await visit.calls.operator("SignOut", pb.WhoAmIRequest())
    finally:
        visit.console.sessions.end(visit.cookie)
    response = visit.go("/signin")
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    # what this browser kept of the session goes with it
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


async def speak(visit: Visit) -> Response:
    """Another language, from now on."""
    form = await visit.form()
    response = visit.go(_back(form.get("next", "")))
    if form.get("language") in LANGUAGES:
        _cookie(response, LANGUAGE_COOKIE, form["language"], YEAR_S, "strict")
    return response


async def me(visit: Visit) -> Response:
    """Who is signed in, until when, with what."""
    who = await visit.calls.operator("WhoAmI", pb.WhoAmIRequest())
    return visit.show(
        "me.html", title="me.title", who=who, forms="me_forms.html", scripts=("keys.js",)
    )


async def factor_begin(visit: Visit) -> Response:
    """A challenge for a key of who is signed in: to show it again, or to add one."""
    body = await visit.json()
    if body.get("add"):
        return _challenge(await visit.calls.operator("AddKeyBegin", pb.WhoAmIRequest()))
    reply = await visit.calls.operator("ProveFactor", pb.ProveFactorRequest())
    return _challenge(reply.challenge)


async def key_added(visit: Visit) -> Response:
    """A security key more."""
    body = await visit.json()
    request = pb.AddKeyRequest(
        state=_hex(body.get("state")), response=_answer(body), label=str(body.get("label", ""))[:60]
    )
    await visit.calls.operator("AddKeyComplete", request)
    return JSONResponse({"next": "/me"})


async def factor(visit: Visit) -> None:
    """Show the second factor that a form brings, if it brings one. Raises Refused."""
    form = await visit.form()
    if form.get("factor_response"):
        proof = pb.ProveFactorRequest(
            state=_hex(form.get("factor_state")), response=form["factor_response"]
        )
    elif form.get("factor_code"):
        proof = pb.ProveFactorRequest(code=form["factor_code"].replace(" ", ""))
    else:
        return
    await visit.calls.operator("ProveFactor", proof)


async def factor_at_gateways(visit: Visit) -> None:
    """`factor`, and a moment in which gateways hear of it."""
    form = await visit.form()
    await factor(visit)
    if form.get("factor_response") or form.get("factor_code"):
        await asyncio.sleep(HEARD_S)


def _began(visit: Visit, session: Session, response: Response) -> Response:
    visit.console.tries.good(visit.address, session.operator)
    value = visit.console.sessions.begin(session, visit.cookie)
    life_s = max(1, int(session.expires_ms / 1000 - time.time()))
    _cookie(response, COOKIE, value, life_s, "strict")
    return response


def _cookie(response: Response, name: str, value: str, life_s: int, same_site: Any) -> None:
    response.set_cookie(
        name, value, max_age=life_s, secure=True, httponly=True, samesite=same_site, path="/"
    )


def _challenge(challenge: pb.KeyChallenge) -> Response:
    options = json.loads(challenge.options)
    return JSONResponse({"state": challenge.state.hex(), "options": options})


def _answer(body: Any) -> str:
    response = body.get("response")
    if not isinstance(response, dict):
        raise Malformed.of(Reason.USAGE, "a security key's answer", type(response).__name__)
    return json.dumps(response)


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError as error:
        raise Malformed.of(Reason.USAGE, "hexadecimal digits", "others") from error


def _back(path: str) -> str:
    """A page of ours to go on to; the first one where `path` is none."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    return parts.path if ours and not parts.path.startswith("/sign") else "/"
