"""What people do in a browser comes to the same as on the command line: masks, a part learnt from
good frames, a policy tried out, a rollout paused, pictures under the gateways' rules.
"""

import json
import re
import time
from html import unescape

import pytest

from framegate.access.verbs import Role
from framegate.errors import Reason, Refused
from framegate.looks.kinds import Look
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import parse_envelope, seal_envelope
from framegate.signed.mask import MaskStatement
from framegate.signed.part import PartStatement
from framegate_console.calls import Endpoint
from framegate_console.sessions import COOKIE
from framegate_operator.masks import read_regions, regions_text
from framegate_proto.edge import REASON_KEY
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.frames import passed
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.looks import row
from support.verb_requests import FILES, GOLDEN_PNG

pytestmark = pytest.mark.slow

CAM = "camera.line-1.cam1"
GATEWAYS = ("gateway.line-1.gw1", "gateway.line-1.gw2")
DRAWN = '[{"points":[[0,0],[0.3125,0],[0.3125,0.4],[0,1]]}]'
"""As regions.js writes what was drawn: a corner at the picture's edge is 0 or 1 there."""
OUTLINE = '[{"points":[[0,0],[1,0],[1,1],[0,1]]}]'
"""As a gateway tells what of a picture the part is."""
BECAUSE = ((REASON_KEY, b"a window behind the line"),)
NOW_MS = int(time.time() * 1000)


def alone(walk) -> None:
    """Nobody else has to approve, so that what was asked for is done."""
    with walk.store.writing() as tx:
        tx.settings.put("quorum", "1")


def as_signed(statement, envelope: bytes) -> bytes:
    """A signed payload without what tells one signature's moment from another's."""
    payload = parse_envelope(envelope, statement.TYPE).payload
    return re.sub(rb'"(version|issued_at_ms)":\s*\d+', rb"", payload)


def regions_of_a_file(folder, reason: Reason, drawn: str = DRAWN) -> list:
    """What was drawn, as somebody keeps it in a file for the command line."""
    file = folder / "regions.toml"
    file.write_text(regions_text(json.loads(drawn)))
    return read_regions(file, reason)


async def test_masks_drawn_in_a_browser_are_signed_as_those_of_the_command_line(
    shown, walk, tmp_path
):
    alone(walk)
    browser = shown.as_role(Role.ENGINEER)
    path = f"/camera/{CAM}/masks"
    answer = await browser.post(path, regions=DRAWN, over="0", reason="a window behind the line")
    assert (answer.status, answer.headers["location"]) == (303, f"/camera/{CAM}")
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    drawn = await stub.ShowMasks(pb.DeviceRequest(device=CAM))
    typed = json.dumps(regions_of_a_file(tmp_path, Reason.MASK)).encode()
    await stub.SetMasks(pb.SetMasksRequest(device=CAM, regions=typed), metadata=BECAUSE)
    of_file = await stub.ShowMasks(pb.DeviceRequest(device=CAM))
    assert (drawn.version, of_file.version) == (1, 2)
    payload = as_signed(MaskStatement, drawn.envelope)
    assert payload == as_signed(MaskStatement, of_file.envelope) and b"[0.3125,0.0]" in payload
    said = [(e["actor"], e["reason"]) for e in walk.entries("masks-set")]
    assert said == [("operator.the-engineer", "a window behind the line")] * 2


@pytest.mark.parametrize(
    "drawn", ["", "{}", '[{"points":[[0,0],[1,1]]}]', '[{"points":[[0,0],[2,0],[1,1]]}]']
)
async def test_what_is_no_region_masks_nothing(shown, walk, drawn):
    alone(walk)
    browser = shown.as_role(Role.ENGINEER)
    answer = await browser.post(f"/camera/{CAM}/masks", regions=drawn, over="0", reason="r")
    assert answer.status in {400, 403} and not walk.entries("masks-set")


async def masked(walk, regions: list) -> None:
    """Masks that somebody else put in force."""
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    asked = pb.SetMasksRequest(device=CAM, regions=json.dumps(regions).encode())
    await stub.SetMasks(asked, metadata=BECAUSE)


@pytest.mark.parametrize("over", [None, "", "0", "2", "1 ", "01", "x"])
async def test_n238_masks_drawn_over_others_than_those_in_force_take_none_away(shown, walk, over):
    alone(walk)
    browser = shown.as_role(Role.ENGINEER)
    await masked(walk, [{"points": [[0.9, 0.9], [1, 0.9], [1, 1]]}, {"channel": "mic"}])
    form = {"regions": DRAWN, "reason": "r"} | ({} if over is None else {"over": over})
    answer = await browser.post(f"/camera/{CAM}/masks", **form)
    assert answer.status == 409 and len(walk.entries("masks-set")) == 1
    page = await browser.get(f"/camera/{CAM}/masks")
    assert 'name="over" value="1"' in page.text
    sound = await browser.post(f"/camera/{CAM}/masks", regions=DRAWN, over="1", reason="r")
    assert sound.status == 303 and len(walk.entries("masks-set")) == 2
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    now = await stub.ShowMasks(pb.DeviceRequest(device=CAM))
    assert b'"channel":"mic"' in parse_envelope(now.envelope, MaskStatement.TYPE).payload


async def test_n238_who_may_not_see_masks_draws_none(shown, walk, monkeypatch):
    alone(walk)
    browser = shown.as_role(Role.ENGINEER)
    await masked(walk, [{"channel": "mic"}])
    live = shown.console.follow(shown.console.sessions.of(browser.jar[COOKIE]))
    asked = live.calls.operator

    async def operator(name, *given, **more):
        if name == "ShowMasks":
            raise Refused.of(Reason.POLICY_DENIED, "mask.show", "denied")
        return await asked(name, *given, **more)

    monkeypatch.setattr(live.calls, "operator", operator)
    assert (await browser.get(f"/camera/{CAM}/masks")).status == 403
    for over in ("0", "1"):
        answer = await browser.post(f"/camera/{CAM}/masks", regions=DRAWN, over=over, reason="r")
        assert answer.status == 403
    assert len(walk.entries("masks-set")) == 1
    assert (await browser.get(f"/camera/{CAM}")).status == 200, "looking at the camera is"


@pytest.fixture
def teacher(shown, monkeypatch):
    """An engineer's browser before two gateways that learn what they are shown, and made verdicts
    of two good frames each.
    """
    browser = shown.as_role(Role.ENGINEER)
    live = shown.console.follow(shown.console.sessions.of(browser.jar[COOKIE]))
    for number in range(4):
        made = {"verdict_id": f"{number:064x}", "gateway": GATEWAYS[number // 2]}
        live.verdicts.append(passed(NOW_MS, part_type="board-7", **made))
    browser.asked = []

    async def gateways():
        return [Endpoint(g, f"127.0.0.1:{n}") for n, g in enumerate(GATEWAYS)]

    async def gateway(at, name, request, **_):
        browser.asked.append((at.device, name, request))
        if name == "Status":
            return pb.GatewayStatus()
        facts = {"used": len(request.verdict_ids), "outline": json.loads(OUTLINE)}
        return pb.LearnGoldenReply(image=GOLDEN_PNG, facts=json.dumps(facts).encode())

    monkeypatch.setattr(live.calls, "gateways", gateways)
    monkeypatch.setattr(live.calls, "gateway", gateway)
    return browser


async def test_a_part_is_learnt_by_looking_at_good_frames(teacher, walk, tmp_path):
    """Its frames are offered, those that are chosen are learnt from where they were judged, what
    came of it is looked at, and the part that is then signed is the command line's.
    """
    alone(walk)
    page = (await teacher.get("/part/board-7")).text
    assert page.count('name="chosen:') == 4
    good = {f"chosen:{n:064x}": "on" for n in (2, 3)}
    answer = await teacher.post("/part/board-7", frames="12", reason="a new part", **good)
    assert answer.status == 303, answer.text
    at, name, request = teacher.asked[-1]
    assert (at, name, request.part_type) == (GATEWAYS[1], "LearnGolden", "board-7")
    assert sorted(request.verdict_ids) == [f"{n:064x}" for n in (2, 3)]
    lesson = answer.headers["location"]
    assert not walk.entries("part-set"), "nothing is in force before somebody looked at it"
    assert (await teacher.get(lesson)).status == 200
    picture = await teacher.fetch(lesson.replace("/lesson/", "/picture/lesson/"))
    assert picture.body == GOLDEN_PNG
    form = {"regions": DRAWN, "source": "a good lot", "reason": "a new part"}
    assert (await teacher.post(lesson, **form)).headers["location"] == "/part/board-7"
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    learnt = (await stub.ShowPart(pb.PartRequest(part_type="board-7"))).row
    regions = regions_of_a_file(tmp_path, Reason.PART)
    outline = regions_of_a_file(tmp_path, Reason.PART, OUTLINE)
    rules = {"thresholds": [], "min_size_px": 0.0, "ignore": regions, "looks": []}
    typed = pb.AddPartRequest(
        part_type="board-7",
        goldens=[GOLDEN_PNG],
        rules=json.dumps({**rules, "outline": outline}).encode(),
        source="a good lot",
    )
    of_files = await stub.AddPart(typed, metadata=BECAUSE)
    assert (learnt.version, of_files.version) == (1, 2)
    assert as_signed(PartStatement, learnt.envelope) == as_signed(PartStatement, of_files.envelope)


async def test_n243_a_part_learnt_anew_keeps_the_guard_that_is_in_force(teacher, walk):
    """Thresholds, sizes and second looks, whatever they are by then; regions as they are drawn."""
    alone(walk)
    guard = {
        "thresholds": [{"kind": "short", "at_least": 0.4}],
        "min_size_px": 4.0,
        "looks": [row(), row(Look.CONTRAST)],
    }
    good = {f"chosen:{n:064x}": "on" for n in (2, 3)}
    answer = await teacher.post("/part/board-7", frames="12", reason="again", **good)
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    whole = {**guard, "ignore": json.loads(DRAWN)}
    typed = pb.AddPartRequest(
        part_type="board-7", goldens=[GOLDEN_PNG], rules=json.dumps(whole).encode(), source="a lot"
    )
    await stub.AddPart(typed, metadata=BECAUSE)
    lesson = answer.headers["location"]
    page = (await teacher.get(lesson)).text
    (drawn,) = re.findall(r'name="regions" id="regions" value="([^"]*)"', page)
    assert json.loads(unescape(drawn)) == json.loads(DRAWN), "those in force are drawn"
    form = {"regions": DRAWN, "source": "a good lot", "reason": "again"}
    assert (await teacher.post(lesson, **form)).status == 303
    learnt = (await stub.ShowPart(pb.PartRequest(part_type="board-7"))).row
    payload = parse_envelope(learnt.envelope, PartStatement.TYPE).payload
    now = PartStatement.parse_payload(payload)
    assert (now.version, now.source) == (2, "a good lot")
    assert (list(now.thresholds), now.min_size_px) == (guard["thresholds"], 4.0)
    assert [r["look"] for r in now.looks] == ["residual", "contrast"]
    assert "WEAKER" not in walk.entries("part-set")[-1]["detail"]


@pytest.mark.parametrize("chosen", [(1, 2), (9,), (0, 9)], ids=["two-gateways", "none", "a-guess"])
async def test_frames_of_another_gateway_or_of_none_teach_nothing(teacher, chosen):
    form = {f"chosen:{n:064x}": "on" for n in chosen}
    answer = await teacher.post("/part/board-7", frames="12", reason="r", **form)
    assert answer.status == 400 and "LearnGolden" not in [name for _, name, _ in teacher.asked]


async def test_a_policy_is_tried_on_what_was_decided_and_nothing_is_changed(shown, walk):
    operator, security = shown.as_role(Role.OPERATOR), shown.as_role(Role.SECURITY)
    form = {"event": "quarantine", "reason": "a fork lift hit the mount"}
    assert (await operator.post(f"/camera/{CAM}/change", **form)).status == 303
    page = await security.get("/policy")
    assert page.status == 200 and "/policy/simulate" in page.text
    texts = {f"file:{f.name}": f.text for f in FILES}
    same = await security.post("/policy/simulate", hours="1", **texts)
    assert same.status == 200 and "<td>device.quarantine</td>" not in same.text
    none = (
        '@id("nobody-holds") forbid (principal, action == Action::"device.quarantine", resource);'
    )
    tried = await security.post("/policy/simulate", hours="1", **texts, **{"file:z.cedar": none})
    assert "<td>device.quarantine</td>" in tried.text and "nobody-holds" in tried.text
    stub = rpc.OperatorStub(walk.channel(Role.SECURITY))
    in_force = await stub.ShowPolicy(pb.PolicyRequest())
    assert in_force.version == 1 and b"nobody-holds" not in in_force.envelope
    broken = await security.post("/policy/simulate", hours="1", **{"file:a.cedar": "permit ("})
    assert broken.status in {400, 403}


async def test_a_rollout_is_paused_by_who_may_and_goes_on(shown, walk):
    key, name = walk.fleet.signing["profile"], "simulated-camera"
    alone(walk)
    stub = rpc.OperatorStub(walk.channel(Role.ENGINEER))
    for revision, kernel in ((1, "12.9"), (2, "12.10")):
        firmware = Firmware(name, kernel=f"kernel 6.{kernel}", release=kernel)
        text = profile_toml(firmware, name, revision).encode()
        imported = pb.ImportProfileRequest(
            envelope=seal_envelope(PROFILE_TYPE, text, key.der, key.sign),
            allowlists=[allowlist_of(firmware.model, firmware.release)],
            for_rollout=revision > 1,
        )
        await stub.ImportProfile(imported, metadata=BECAUSE)
    begun = pb.StartRolloutRequest(profile=name, canary=1, waves=[100], max_fail=1, soak_s=60)
    started = await stub.StartRollout(begun, metadata=BECAUSE)
    path = f"/rollout/{started.rollout}"
    viewer, engineer = shown.as_role(Role.VIEWER), shown.as_role(Role.ENGINEER)
    assert (await viewer.post(path, verb="pause", reason="r")).status == 403
    assert (await engineer.post(path, verb="start", reason="r")).status == 400
    for verb, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
        assert (await engineer.post(path, verb=verb, reason="look first")).status == 303, verb
        row = (await stub.ShowRollouts(pb.RolloutRequest(rollout=started.rollout))).rollouts[0]
        assert row.state == state
        assert row.note.startswith(f"{verb} by operator.the-engineer"), row.note
        assert CAM in (await viewer.get(path)).text
    assert (await engineer.post(path, verb="resume", reason="r")).status in {403, 409}


async def test_a_picture_is_given_as_the_gateway_gives_it_and_kept_nowhere(
    teacher, shown, monkeypatch, tmp_path
):
    """Each picture is asked for with the right of whoever wants it, by the call that the command
    line makes; a gateway that refuses is told by nothing of the picture; no copy stays.
    """
    calls = shown.console.follow(shown.console.sessions.of(teacher.jar[COOKIE])).calls
    seen = []

    async def refuses(at, name, request, **_):
        seen.append((name, request.verdict_id, request.frame_only))
        raise Refused.of(Reason.POLICY_DENIED, "image.export", "a viewer")

    async def gives(at, name, request, **_):
        return pb.PictureReply(png=GOLDEN_PNG)

    async def no_receipt(at, name, request, most):
        return []  # of the last second: it waits for its batch

    monkeypatch.setattr(calls, "gateway_rows", no_receipt)
    before = sorted(tmp_path.rglob("*.png"))
    for picture in ("frame", "card"):
        path = f"/picture/{7:064x}/{picture}.png"
        monkeypatch.setattr(calls, "gateway", gives)
        answer = await teacher.fetch(path)
        assert (answer.status, answer.body) == (200, GOLDEN_PNG)
        assert answer.headers["cache-control"] == "no-store"
        monkeypatch.setattr(calls, "gateway", refuses)
        answer = await teacher.fetch(path)
        assert (answer.status, answer.headers["content-type"]) == (403, "image/svg+xml")
        assert GOLDEN_PNG[:8] not in answer.body
    assert {(name, only) for name, _, only in seen} == {
        ("ShowVerdict", True),
        ("ShowVerdict", False),
    }
    assert {identifier for _, identifier, _ in seen} == {f"{7:064x}"}
    assert sorted(tmp_path.rglob("*.png")) == before
