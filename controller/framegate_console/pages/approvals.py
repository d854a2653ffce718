"""What somebody asks for, shown whole out of its bytes, and the yes or no of somebody else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from starlette.responses import Response

from framegate.errors import Malformed, Reason, Refused
from framegate_console.form_numbers import number
from framegate_console.live import Live
from framegate_console.pages.line import latest
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.pages.signin import factor
from framegate_console.pages.verdicts import image
from framegate_console.visit import Visit
from framegate_operator.asked_content import AskedContent, differences, read_asked
from framegate_proto.rendering import render
from framegate_proto.v1 import framegate_pb2 as pb

_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the message that is asked for. `remark`: it is the asker's own words."""

    name: str
    lines: Sequence[str]
    remark: bool


async def load(live: Live, _: str) -> Loaded:
    """What waits, and what came of the latest."""
    reply = await live.calls.operator("ListAccess", pb.ListAccessRequest(all=True))
    waiting = [r for r in reply.rows if r.state == "pending"]
    others = [r for r in reply.rows if r.state != "pending"]
    return {
        "mine": [r for r in waiting if r.requester == live.session.operator],
        "waiting": [r for r in waiting if r.requester != live.session.operator],
        "past": others[:30],
        "quorum": reply.quorum,
    }


APPROVALS: Final = LivePage("approvals", "approvals.html", load, forms="approvals_forms.html")


async def show(visit: Visit) -> Response:
    """One request: every member of its message, read here from the bytes that would be approved,
    and what differs from what is in force. A review has no message, and is told by its row.
    """
    reply = await visit.calls.operator("ShowAccess", pb.ShowAccessRequest(id=visit.path("id")))
    row = reply.row
    if not row.content_sha256:
        return visit.show("approval.html", title="approval.title", row=row, asked=None)
    asked = read_asked(reply)
    return visit.show(
        "approval.html",
        title="approval.title",
        row=row,
        asked=asked,
        members=[Member(s.member, s.lines, s.remark) for s in render(asked.message)],
        difference=list(differences(asked)),
        kind=asked.message.DESCRIPTOR.name,
        images=len(_images(asked.message)),
        masks=await _masks(visit.live, asked),
    )


async def decide(visit: Visit) -> Response:
    """Yes or no. A yes is of the digest that was computed where the request was shown."""
    form = await visit.form()
    verdict = form.get("decision", "")
    if verdict not in {"approve", "deny"}:
        raise Malformed.of(Reason.USAGE, "approve or deny", ascii(verdict[:40]))
    await factor(visit)
    try:
        digest = bytes.fromhex(form.get("content", ""))
    except ValueError as error:
        raise Malformed.of(Reason.USAGE, "a digest", "something else") from error
    request = pb.DecideRequest(
        id=visit.path("id"),
        approve=verdict == "approve",
        reason=form.get("reason", ""),
        content_sha256=digest,
    )
    await visit.calls.operator("DecideAccess", request)
    return visit.go("/approvals")


async def asked_image(visit: Visit) -> Response:
    """A picture that is a member of what is asked, such as a golden image."""
    reply = await visit.calls.operator("ShowAccess", pb.ShowAccessRequest(id=visit.path("id")))
    images = _images(read_asked(reply).message)
    place = number(visit.path("number"))
    if place >= len(images):
        raise Refused.of(Reason.NOT_FOUND, f"one of {len(images)} pictures", place)
    return image(images[place])


async def ask_role(visit: Visit) -> Response:
    """Ask for a role for a while."""
    form = await visit.form()
    minutes = form.get("minutes", "30")
    if not (minutes.isascii() and minutes.isdigit() and len(minutes) <= 3):
        raise Malformed.of(Reason.USAGE, "minutes", ascii(minutes[:20]))
    request = pb.RoleRequest(
        role=form.get("role", ""),
        zone=form.get("zone", "") or "*",
        minutes=int(minutes),
        reason=form.get("reason", ""),
    )
    await visit.calls.operator("RequestRole", request)
    return visit.go("/approvals")


@dataclass(frozen=True, slots=True)
class AskedMasks:
    """Polygons to be drawn over a picture: what is asked, and what is in force."""

    verdict_id: str
    asked: Sequence[Any]
    in_force: Sequence[Any]


async def _masks(live: Live, asked: AskedContent) -> AskedMasks | None:
    """Masks that are asked for, as a picture; None where something else is."""
    if not isinstance(asked.message, pb.SetMasksRequest):
        return None
    named = asked.message.device  # its id, or its own name where one machine has it
    look = await live.look()
    devices = [d.device for d in look.devices if named in {d.device, d.name}]
    device = devices[0] if len(devices) == 1 else named
    kept = (v for v in latest(live, device, 20) if v.outcome != "UNINSPECTED")
    pictured = next(kept, None)
    before = asked.in_force.regions if isinstance(asked.in_force, pb.SetMasksRequest) else b""
    return AskedMasks(
        pictured.verdict_id if pictured is not None else "",
        _points(asked.message.regions),
        _points(before),
    )


def _points(regions: bytes) -> list[Any]:
    try:
        return [r["points"] for r in json.loads(regions or b"[]") if "points" in r]
    except (ValueError, TypeError, KeyError):
        return []  # the text beside it says what the bytes are


def _images(message: Message) -> list[bytes]:
    """Every member of the message that is a PNG."""
    values: list[bytes] = []
    for described in message.DESCRIPTOR.fields:
        value = getattr(message, described.name)
        values += list(value) if described.is_repeated else [value]
    return [v for v in values if isinstance(v, bytes) and v.startswith(_PNG)]
