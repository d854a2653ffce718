"""The console as an ASGI application: its addresses, and the guard before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from framegate.errors import Reason, Refused
from framegate_console.guard import Guard
from framegate_console.pages import (
    approvals,
    boot,
    camera,
    incidents,
    line,
    models,
    policy,
    record,
    rollouts,
    signin,
    site_map,
    verdicts,
    wall,
)
from framegate_console.pages.live_page import LivePage
from framegate_console.rendering import static_files
from framegate_console.visit import Console, Handler, Visit, open_page, page, told

LIVE_PAGES: Final = {
    p.name: p
    for p in (
        line.LINE,
        line.CAMERAS,
        line.GATEWAYS,
        camera.CAMERA,
        verdicts.VERDICTS,
        approvals.APPROVALS,
        rollouts.ROLLOUTS,
        rollouts.ROLLOUT,
        incidents.INCIDENTS,
        incidents.INCIDENT,
        incidents.PLAYBOOKS,
        models.MODELS,
        site_map.MAP,
    )
}
YEAR: Final = "public, max-age=31536000, immutable"
"""Of a static file, whose address names its content."""


def application(console: Console) -> ASGIApp:
    """The application of `console`, guarded."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        console.sessions.end_all()

    app = Starlette(routes=_routes(), lifespan=lifespan, exception_handlers={404: _absent})
    app.state.console = console
    return Guard(app, console.settings.hosts, https=console.settings.tls is not None)


def _routes() -> list[Route]:
    return [
        Route("/static/{digest}/{name}", _static),
        *_open_routes(),
        _get("/live/{page}", _stream),
        _get("/", _live(line.LINE)),
        _get("/cameras", _searched(line.CAMERAS)),
        _get("/gateways", _live(line.GATEWAYS)),
        _get("/camera/{device}", _live(camera.CAMERA, "device")),
        _post("/camera/{device}/change", camera.change),
        _post("/camera/{device}/maintenance", camera.maintenance),
        _get("/camera/{device}/boot", boot.show),
        _get("/camera/{device}/masks", camera.edit_masks),
        _post("/camera/{device}/masks", camera.set_masks),
        _get("/verdicts", _searched(verdicts.VERDICTS)),
        _get("/verdict/{id}", verdicts.show),
        _get("/verdict/{id}/receipt.json", verdicts.download),
        _get("/picture/{id}/frame.png", verdicts.picture),
        _get("/picture/{id}/card.png", verdicts.card),
        _get("/root.pem", verdicts.root),
        _get("/approvals", _live(approvals.APPROVALS)),
        _post("/approvals/role", approvals.ask_role),
        _get("/approval/{id}", approvals.show),
        _post("/approval/{id}", approvals.decide),
        _get("/picture/asked/{id}/{number}", approvals.asked_image),
        _get("/rollouts", _live(rollouts.ROLLOUTS)),
        _get("/rollout/{id}", _live(rollouts.ROLLOUT, "id")),
        _post("/rollout/{id}", rollouts.change),
        _get("/incidents", _live(incidents.INCIDENTS)),
        _get("/incident/{number}", _live(incidents.INCIDENT, "number")),
        _post("/incident/{number}", incidents.change),
        _get("/playbooks", _live(incidents.PLAYBOOKS)),
        _get("/map", site_map.show),
        _get("/record", record.search),
        _get("/record/{index}", record.entry),
        _get("/record/{index}/proof.json", record.proof),
        _get("/models", _live(models.MODELS)),
        _get("/model/{digest}", models.model),
        _get("/part/{part:path}", models.part),
        _post("/part/{part:path}", models.learn),
        _get("/picture/golden/{number}/{part:path}", models.golden),
        _get("/lesson/{id}", models.lesson),
        _post("/lesson/{id}", models.put_in_force),
        _get("/picture/lesson/{id}", models.lesson_image),
        _get("/policy", policy.show),
        _get("/policy/explain", policy.explain),
        _post("/policy/simulate", policy.simulate),
        _get("/me", signin.me),
        _post("/me/key/begin", signin.factor_begin),
        _post("/me/key/add", signin.key_added),
        _post("/signout", signin.sign_out),
    ]


def _open_routes() -> list[Route]:
    """What whoever comes may ask for."""
    return [
        Route("/signin", open_page(signin.sign_in)),
        Route("/signin", open_page(signin.by_password), methods=["POST"]),
        Route("/signin/key/begin", open_page(signin.key_begin), methods=["POST"]),
        Route("/signin/key", open_page(signin.by_key), methods=["POST"]),
        Route("/signin/provider", open_page(signin.oidc_begin), methods=["POST"]),
        Route("/oidc", open_page(signin.oidc_return)),
        Route("/language", open_page(signin.speak), methods=["POST"]),
        Route("/wall", open_page(wall.show)),
        Route("/wall/live", open_page(wall.stream)),
    ]


def _get(path: str, handler: Handler) -> Route:
    return Route(path, page(handler))


def _post(path: str, handler: Handler) -> Route:
    return Route(path, page(handler), methods=["POST"])


def _live(shown: LivePage, member: str = "") -> Handler:
    async def handler(visit: Visit) -> Response:
        return await shown.page(visit, visit.path(member) if member else "")

    return handler


def _searched(shown: LivePage) -> Handler:
    async def handler(visit: Visit) -> Response:
        return await shown.page(visit, visit.asked("q")[:80])

    return handler


async def _stream(visit: Visit) -> Response:
    shown = LIVE_PAGES.get(visit.path("page"))
    if shown is None:
        return PlainTextResponse("no such page", 404)
    return shown.stream(visit, visit.live, visit.asked("key"))


async def _absent(request: Request, _: Exception) -> Response:
    """In words, and with a way back: somebody typed an address, or kept an old one."""
    wanted = "a page of the console"
    return told(Visit(request), Refused.of(Reason.NOT_FOUND, wanted, "another address"))


async def _static(request: Request) -> Response:
    """A static file by its content's digest: another digest is another version's file."""
    file = static_files().get(request.path_params["name"])
    if file is None or file.address != request.url.path:
        return PlainTextResponse("no such file", 404)
    headers = {"Cache-Control": YEAR, "Content-Encoding": "gzip"}
    return Response(file.body, media_type=file.kind, headers=headers)
