"""The wall board, which whoever comes may look at: what its own credential may see, and no more
(N173, N174).
"""

from dataclasses import replace

import pytest

from framegate.access.verbs import parse_scoped
from framegate.machines.lifecycle import State
from framegate_simulators.fixtures.access import camera_of
from support.asgi import SAME_ORIGIN
from support.console import console_at, wall_context

FAR = "seen-in-another-hall"


@pytest.fixture
async def board(walk, tmp_path):
    """A browser of nobody's before a console whose board is a viewer of line-1 alone."""
    with walk.store.writing() as tx:
        tx.devices.add(camera_of(FAR, State.SUSPECT, zone="line-2", since_ms=tx.now_ms))
    at = (walk.running.join_address, walk.running.fleet_address)
    file = wall_context(walk, tmp_path / "wall.json", "viewer@line-1")
    shown = console_at(walk.fleet.root.pem, *at, path=tmp_path / "fleet.json", wall=file)
    yield shown.browser()
    if shown.console.wall is not None:
        shown.console.wall.session.end()


async def test_n173_the_wall_board_shows_what_its_own_credential_may_see(board):
    page = await board.get("/wall")
    assert page.status == 200 and "cam1" in page.text and "suspect" in page.text
    stream = await board.ask("GET", "/wall/live", SAME_ORIGIN, most=3)
    assert "cam1" in stream.text and "event: well" in stream.text
    for told in (page.text, stream.text):
        assert FAR not in told and "line-2" not in told
        assert "/camera/" not in told and "/picture/" not in told and "<img" not in told


async def test_n174_from_the_wall_board_nobody_comes_to_another_page(board):
    assert (await board.get("/wall")).status == 200 and board.jar == {}
    for path in ("/", "/cameras", "/record", "/approvals", f"/verdict/{'ab' * 32}", "/root.pem"):
        assert (await board.get(path)).headers["location"].startswith("/signin"), path
    for path in ("/live/line", "/live/cameras", f"/picture/{'ab' * 32}/frame.png"):
        assert (await board.fetch(path)).status == 401, path
    answer = await board.post("/camera/camera.line-1.cam1/change", event="quarantine", reason="x")
    assert answer.headers["location"].startswith("/signin")


async def test_n173_a_wall_board_that_may_more_or_is_disabled_is_shut(board, walk):
    """Also while it is looked at: what everybody in the hall sees is a viewer's."""
    assert (await board.get("/wall")).status == 200
    with walk.store.reading() as tx:
        viewer = tx.people.get("wall")
    for changed in (
        *(
            replace(viewer, roles=(*viewer.roles, parse_scoped(more)))
            for more in ("operator", "auditor@line-1", "admin")
        ),
        replace(viewer, enabled=False),
    ):
        with walk.store.writing() as tx:
            tx.people.put(changed)
        for answer in (await board.get("/wall"), await board.fetch("/wall/live")):
            assert answer.status in {401, 403} and "cam1" not in answer.text, changed.roles
