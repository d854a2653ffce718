"""What the console asks for is what the command line asks for, and what is signed is the same."""

import contextlib
import re
import time
from html import unescape
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.signed.mask import MaskStatement
from framegate_console.live import Live
from framegate_console.pages import models
from framegate_console.pages.models import Lesson
from framegate_console.sessions import Session
from framegate_controller.verbs.masks import SetMasks
from framegate_controller.verbs.parts import AddPart
from framegate_operator import masks, parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.console import console_at
from support.hostile_fleet import GATEWAY, HostileCalls

CAM = "camera.line-1.cam1"
PNG = b"\x89PNG\r\n\x1a\n"
TEXTS = re.compile(r'<textarea[^>]* name="([^"]*)"[^>]*>\n(.*?)</textarea>', re.DOTALL)
NOTHING = "Nothing would be decided otherwise"
FORBIDDEN = """
@id("nobody-freezes") @reason("policy-denied") @hint("framegate access list")
forbid (principal, action == Action::"zone.freeze", resource);
"""
# as `regions.js` writes it: an edge of the picture is 0 or 1, not 0.0
DRAWN = '[{"points":[[0,0],[0.25,0],[0.25,0.3333],[0,1]]}]'
TYPED = "[[region]]\npoints = [[0.0, 0.0], [0.25, 0.0], [0.25, 0.3333], [0.0, 1.0]]\n"


class Asked(HostileCalls):
    """Keeps what was asked for, and answers nothing in particular."""

    def __init__(self):
        super().__init__()
        self.messages, self.facts = {}, b'{"used": 11, "left_out": [3], "outline": []}'

    async def operator(self, name, request, *, reason=""):
        self.messages[name] = request
        method = pb.DESCRIPTOR.services_by_name["Operator"].methods_by_name[name]
        return getattr(pb, method.output_type.name)()

    async def gateways(self):
        return [SimpleNamespace(device=GATEWAY)]

    async def gateway(self, at, name, request, **_):
        self.messages[name] = request
        if name == "LearnGolden":
            return pb.LearnGoldenReply(image=PNG, facts=self.facts)
        service = pb.DESCRIPTOR.services_by_name["GatewayOperator"]
        return getattr(pb, service.methods_by_name[name].output_type.name)()


@pytest.fixture
async def seat(tmp_path):
    """A browser that is signed in, and what it asked for."""
    root = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    shown = console_at(root, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    session = Session("anna", b"", b"k", None, (), int(time.time() * 1000) + 60_000, "127.0.0.1:1")
    session.live = Live(session, Asked())
    browser = shown.signed_in(session)
    browser.session = session
    yield browser
    session.end()
    models._lessons.clear()


@pytest.fixture
def typed(monkeypatch, tmp_path):
    """What a command asks a controller for."""
    sent = {}

    def keep(message):
        sent[type(message)] = message
        return pb.MasksReply() if isinstance(message, pb.SetMasksRequest) else pb.PartRow()

    stub = SimpleNamespace(SetMasks=keep, AddPart=keep)
    for module in (masks, parts):
        monkeypatch.setattr(module, "operator_stub", lambda _c: contextlib.nullcontext(stub))
        monkeypatch.setattr(module, "load_context", lambda _c: None)

    def typed_at(app, *words):
        CliRunner().invoke(app, [str(w) for w in words])
        return sent

    (tmp_path / "regions.toml").write_text(TYPED)
    (tmp_path / "golden.png").write_bytes(PNG)
    return typed_at


async def test_masks_that_are_drawn_are_signed_as_those_that_are_typed(seat, typed, tmp_path):
    answer = await seat.post(f"/camera/{CAM}/masks", regions=DRAWN, reason="privacy")
    assert answer.status == 303, answer.text[-400:]
    drawn = SetMasks.parse(seat.session.live.calls.messages["SetMasks"])
    asked = typed(masks.app, "set", CAM, tmp_path / "regions.toml", "--reason", "privacy")
    written = SetMasks.parse(asked[pb.SetMasksRequest])
    assert drawn == written
    signed = [
        MaskStatement(camera=CAM, version=1, regions=v.regions, issued_at_ms=1).payload()
        for v in (drawn, written)
    ]
    assert signed[0] == signed[1]


async def test_a_part_that_was_drawn_is_signed_as_one_that_is_typed(seat, typed, tmp_path):
    models._lessons["ab" * 16] = Lesson(seat.session, "drawn-1", PNG, {"tolerant_percent": 0})
    answer = await seat.post(
        f"/lesson/{'ab' * 16}", regions=DRAWN, source="good frames", reason="new part"
    )
    assert answer.status == 303, answer.text[-400:]
    drawn = AddPart.parse(seat.session.live.calls.messages["AddPart"])
    asked = typed(
        parts.app,
        *("add", "drawn-1", "--golden", tmp_path / "golden.png", "--source", "good frames"),
        *("--ignore", tmp_path / "regions.toml", "--reason", "new part"),
    )
    assert AddPart.parse(asked[pb.AddPartRequest]) == drawn


@pytest.mark.parametrize(
    "regions", ["", "{}", "[1]", '[{"points":[[0,0],[1,0],[1,1],[0,1]]}]', '[{"points":[[0,2]]}]']
)
async def test_masks_that_are_none_or_hide_everything_ask_for_nothing(seat, regions):
    answer = await seat.post(f"/camera/{CAM}/masks", regions=regions, reason="privacy")
    assert answer.status in {400, 403} and "SetMasks" not in seat.session.live.calls.messages


async def test_a_part_is_learnt_from_the_frames_that_were_chosen(seat):
    chosen = {f"chosen:{n:032x}": "on" for n in range(12)}
    seat.session.live.verdicts = [
        SimpleNamespace(verdict_id=f"{n:032x}", gateway=GATEWAY) for n in range(12)
    ]
    answer = await seat.post("/part/drawn-1", frames="12", reason="new", **chosen)
    assert answer.status == 303, answer.text[-400:]
    asked = seat.session.live.calls.messages["LearnGolden"]
    assert asked.part_type == "drawn-1" and len(asked.verdict_ids) == 12
    page = await seat.get(answer.headers["location"])
    assert page.status == 200 and "AddPart" not in seat.session.live.calls.messages


@pytest.mark.parametrize("facts", [b"", b"[]", b'{"used": 1e999}', b'{"used": [], "left_out": 7}'])
async def test_n220_what_a_gateway_learnt_in_no_words_of_ours_is_refused(seat, facts):
    seat.session.live.calls.facts = facts
    answer = await seat.post("/part/drawn-1", frames="12", gateway=GATEWAY, reason="new")
    assert answer.status in {400, 403, 502}, answer.text[-300:]
    assert not models._lessons


async def test_frames_of_two_gateways_teach_nothing(seat):
    seat.session.live.verdicts = [
        SimpleNamespace(verdict_id=f"{n:032x}", gateway=f"gateway.line-1.gw{n}") for n in range(2)
    ]
    chosen = {f"chosen:{n:032x}": "on" for n in range(2)}
    answer = await seat.post("/part/drawn-1", frames="2", reason="new", **chosen)
    assert answer.status in {400, 403}
    assert "LearnGolden" not in seat.session.live.calls.messages


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "retire"])
async def test_a_rollout_is_paused_and_goes_on(seat, verb):
    answer = await seat.post("/rollout/5", verb=verb, reason="line stands")
    assert answer.status == 303, answer.text[-400:]
    asked = seat.session.live.calls.messages["ChangeRollout"]
    assert (asked.rollout, asked.verb) == ("5", verb)


async def test_what_is_no_change_of_a_rollout_changes_nothing(seat):
    answer = await seat.post("/rollout/5", verb="start", reason="x")
    assert answer.status == 400 and "ChangeRollout" not in seat.session.live.calls.messages


async def test_a_policy_is_simulated_and_stays_as_it_is(shown, walk):
    """Through a controller: what would have been decided otherwise is told, nothing is applied."""
    browser = shown.as_role("security")
    async with walk.channel("security") as opened:
        freeze = pb.FreezeZoneRequest(zone="line-1", frozen=False, reason="r")
        await rpc.OperatorStub(opened).FreezeZone(freeze)  # a decision that can be asked again
    page = await browser.get("/policy")
    texts = {name: unescape(text) for name, text in TEXTS.findall(page.text)}
    assert "file:operators.cedar" in texts
    before = walk.sql("SELECT version, sha256 FROM access_policies ORDER BY version")
    same = await browser.post("/policy/simulate", hours="1", **texts)
    assert same.status == 200 and NOTHING in same.text
    texts["file:operators.cedar"] += FORBIDDEN
    other = await browser.post("/policy/simulate", hours="1", **texts)
    assert other.status == 200 and NOTHING not in other.text
    would = other.text[other.text.index('id="would"') : other.text.index('id="texts"')]
    assert "zone.freeze" in would and "nobody-freezes" in would
    assert walk.sql("SELECT version, sha256 FROM access_policies ORDER BY version") == before


async def test_a_policy_that_is_none_is_said_to_be_none(shown):
    browser = shown.as_role("security")
    answer = await browser.post("/policy/simulate", **{"file:operators.cedar": "permit everything"})
    assert answer.status in {400, 403} and "cedar" in answer.text.lower()
