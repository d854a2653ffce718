"""Models and parts: figures, golden images, and a part learnt from good frames."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.signed.dsse import parse_envelope
from framegate.signed.part import MAX_LESSON, MIN_LESSON, PartStatement
from framegate.signed.part_rules import relearnt
from framegate.signed.pin import parse_pin
from framegate.wire import sha256
from framegate_console.calls import Endpoint
from framegate_console.form_numbers import number
from framegate_console.live import Live
from framegate_console.pages.camera import regions_of
from framegate_console.pages.line import latest, tiles
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.pages.signin import factor, factor_at_gateways
from framegate_console.pages.verdicts import image
from framegate_console.rendering import at
from framegate_console.sessions import Session
from framegate_console.told_json import told_object
from framegate_console.visit import Visit
from framegate_operator.part_types import seen_types
from framegate_proto.v1 import framegate_pb2 as pb

LESSON_S: Final = 60
CHOSEN: Final = "chosen:"
"""What the name of a frame's field begins with."""
CHOICE: Final = 32
"""Frames that are offered: a form has 64 fields."""
LESSONS: Final = 16
"""Learnt images that wait to be looked at, of all sessions; each has some hundred kilobytes."""


@dataclass(frozen=True, slots=True)
class LessonFacts:
    """What a gateway says of what it learnt: how many frames it `used`, how many it left out
    because they show something else, and what the part would be signed with beside its image.
    """

    used: int
    left_out: int = 0
    outline: Sequence[Any] = ()
    tolerant_percent: int = 0

    @classmethod
    def of(cls, text: str | bytes) -> LessonFacts:
        """Read as the gateway told it. Raises Unavailable."""
        told = told_object(text, "what was learnt")
        left_out, outline = told.get("left_out", []), told.get("outline", [])
        used, tolerant = told.get("used"), told.get("tolerant_percent", 0)
        if type(used) is not int or type(tolerant) is not int:
            raise Unavailable.of(Reason.UNAVAILABLE, "numbers of what was learnt", "something else")
        if type(left_out) is not list or type(outline) is not list:
            wanted = "frames that were left out, an outline"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, "something else")
        return cls(used, len(left_out), outline, tolerant)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A golden image that was learnt, and of whose session it is."""

    session: Session
    part_type: str
    image: bytes
    facts: LessonFacts


_lessons: OrderedDict[str, Lesson] = OrderedDict()


async def load(live: Live, _: str) -> Loaded:
    """Models, parts, and part types that gateways saw of late."""
    await live.look()
    models = (await live.calls.operator("ListModels", pb.ListRequest())).models
    parts = (await live.calls.operator("ListParts", pb.ListRequest())).parts
    known = {p.part_type for p in parts}
    return {
        "models": models,
        "parts": [_part(p) for p in parts],
        "unknown": [t for t in seen_types(live.verdicts) if t.part_type not in known],
    }


MODELS: Final = LivePage("models", "models.html", load, least_s=1.0)


async def model(visit: Visit) -> Response:
    """One model: its recipe, the figures of its card, and where it has been in force."""
    digest = visit.path("digest")
    reply = await visit.calls.operator("ShowModel", pb.ModelRequest(digest=digest))
    card = json.loads(reply.card or b"{}")
    return visit.show(
        "model.html",
        title="model.title",
        m=reply.row,
        recipe=json.loads(reply.recipe or b"{}"),
        figures=card.get("held_out", {}),
        trained=card.get("trained_on", {}),
        files=reply.files,
        pins=[parse_pin(p) for p in reply.pins],
    )


async def part(visit: Visit) -> Response:
    """One part: its golden images and rules, and its latest frames, with regions to be drawn."""
    part_type = visit.path("part")
    live = visit.live
    await live.look()
    row = await _in_force(visit, part_type)
    seen = [v for v in latest(live, "", 200) if v.part_type == part_type]
    gateways = await visit.calls.gateways()
    return visit.show(
        "part.html",
        title="part.title",
        part_type=part_type,
        p=row,
        goldens=len(row.goldens) if row is not None else 0,
        frames=tiles([v for v in seen if v.outcome != "UNINSPECTED"][:CHOICE]),
        prefix=CHOSEN,
        gateways=gateways,
        least=MIN_LESSON,
        most=MAX_LESSON,
        scripts=("regions.js",),
    )


async def _in_force(visit: Visit, part_type: str) -> PartStatement | None:
    """The part as it is signed; None where the fleet has no such part."""
    try:
        reply = await visit.calls.operator("ShowPart", pb.PartRequest(part_type=part_type))
    except Refused as error:
        if error.reason != Reason.NOT_FOUND:
            raise
        return None
    return _part(reply.row)


async def golden(visit: Visit) -> Response:
    """A golden image of a part."""
    reply = await visit.calls.operator("ShowPart", pb.PartRequest(part_type=visit.path("part")))
    place = number(visit.path("number"))
    if place >= len(reply.goldens):
        raise Refused.of(Reason.NOT_FOUND, f"one of {len(reply.goldens)} images", place)
    return image(reply.goldens[place])


async def learn(visit: Visit) -> Response:
    """Learn a golden image from the frames that were chosen, or from the next ones; it is looked at
    before it counts.
    """
    form = await visit.form()
    chosen = [name.removeprefix(CHOSEN) for name in form if name.startswith(CHOSEN)]
    wanted = _gateway_of(visit.live, chosen) if chosen else form.get("gateway", "")
    at = next((g for g in await visit.calls.gateways() if g.device == wanted), None)
    frames = form.get("frames", "")
    if at is None or not (frames.isascii() and frames.isdigit() and len(frames) <= 2):
        raise Malformed.of(Reason.USAGE, "a gateway that stands, and a number of frames", "others")
    part_type, reason = visit.path("part"), form.get("reason", "")
    request = pb.LearnGoldenRequest(
        part_type=part_type,
        frames=int(frames),
        timeout_s=LESSON_S,
        reason=reason,
        verdict_ids=chosen,
    )
    await factor_at_gateways(visit)
    reply = await _learnt(visit, at, request, reason)
    assert visit.session is not None  # noqa: S101 - a page of who is signed in
    identifier = secrets.token_hex(16)
    learnt = Lesson(visit.session, part_type, bytes(reply.image), LessonFacts.of(reply.facts))
    _lessons[identifier] = learnt
    while len(_lessons) > LESSONS:
        _lessons.popitem(last=False)
    return visit.go(f"/lesson/{identifier}")


def _gateway_of(live: Live, chosen: Sequence[str]) -> str:
    """The gateway that made all of these verdicts. Raises Refused (USAGE)."""
    made = {v.verdict_id: v.gateway for v in live.verdicts}
    gateways = {made.get(identifier, "") for identifier in chosen}
    if len(gateways) != 1 or "" in gateways:
        wanted, hint = "verdicts of one gateway, of late", "choose among those that are shown"
        raise Refused.of(Reason.USAGE, wanted, f"{len(gateways)} gateways", hint)
    return gateways.pop()


async def _learnt(visit: Visit, at: Endpoint, request: Any, reason: str) -> Any:
    wait = LESSON_S + 30.0
    try:
        return await visit.calls.gateway(at, "LearnGolden", request, timeout_s=wait)
    except Refused as error:
        if error.reason != Reason.APPROVAL_NEEDED:
            raise
    request.approval = await visit.calls.approved(at, "part.learn", request, reason)
    return await visit.calls.gateway(at, "LearnGolden", request, timeout_s=wait)


async def lesson(visit: Visit) -> Response:
    """What was learnt, to be looked at; and to be put in force by `put_in_force`."""
    learnt = _lesson(visit)
    before = await _in_force(visit, learnt.part_type)
    return visit.show(
        "lesson.html",
        title="lesson.title",
        id=visit.path("id"),
        lesson=learnt,
        digest=sha256(learnt.image).hex(),
        regions=json.dumps(before.ignore if before is not None else []),
        p=before,
        scripts=("regions.js",),
    )


async def lesson_image(visit: Visit) -> Response:
    """The learnt image."""
    return image(_lesson(visit).image)


async def put_in_force(visit: Visit) -> Response:
    """Ask for the part with this golden image: the message that `framegate part add --keep` sends.
    Thresholds, sizes and second looks stay as they are in force at this moment (N184).
    """
    learnt, form = _lesson(visit), await visit.form()
    ignored = regions_of(form.get("regions"), Reason.PART)
    await factor(visit)
    before = await _in_force(visit, learnt.part_type)
    rules = relearnt(before, learnt.facts.outline, learnt.facts.tolerant_percent)
    rules["ignore"] = ignored
    request = pb.AddPartRequest(
        part_type=learnt.part_type,
        goldens=[learnt.image],
        rules=json.dumps(rules).encode(),
        source=form.get("source", ""),
    )
    await visit.calls.operator("AddPart", request, reason=form.get("reason", ""))
    return visit.go(f"/part/{at(learnt.part_type)}")


def _lesson(visit: Visit) -> Lesson:
    """What this session learnt; what another did is not there. Raises Refused (NOT_FOUND)."""
    learnt = _lessons.get(visit.path("id"))
    if learnt is None or learnt.session is not visit.session:
        raise Refused.of(Reason.NOT_FOUND, "an image that you learnt", "none", "learn it again")
    return learnt


def _part(row: pb.PartRow) -> PartStatement:
    return PartStatement.parse_payload(parse_envelope(row.envelope, PartStatement.TYPE).payload)
