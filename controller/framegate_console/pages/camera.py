"""One camera: its state and why, its proof, what it sends, its masks; and what one does to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement, check_masks
from framegate_console.live import Live
from framegate_console.pages.line import latest, tiles
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.pages.signin import factor
from framegate_console.visit import Visit
from framegate_proto.v1 import framegate_pb2 as pb

CHANGES: Final = ("quarantine", "release", "attest-now", "approve")
"""What a page does to a machine; taking one out for good is left to the command line."""
MAX_MINUTES: Final = 480
PARTS: Final = 12


async def load(live: Live, key: str) -> Loaded:
    """Everything that is known of one machine."""
    detail = await live.calls.operator("Show", pb.DeviceRequest(device=key))
    look = await live.look()
    device = detail.summary.device
    moved = next(
        (e for e in detail.events if e.to_state == detail.summary.state != e.from_state), None
    )
    parts = latest(live, device, PARTS)
    return {
        "detail": detail,
        "d": detail.summary,
        "traffic": look.traffic.of(device),
        "silence": look.traffic.silence(device) if detail.summary.kind == "camera" else "",
        "processes": [g for g in look.traffic.gateways if g.device == device],
        "moved": moved,
        "posture": _posture(detail.posture),
        "claims": sorted(detail.vector.items()),
        "pcrs": sorted(detail.pcrs.items(), key=lambda i: (len(i[0]), i)),
        "parts": tiles(parts),
        "pictured": next((v for v in parts if v.outcome != "UNINSPECTED"), None),
        "masks": await masks_of(live, device) if detail.summary.kind == "camera" else (),
    }


async def change(visit: Visit) -> Response:
    """Hold it, let it go, ask it for evidence, accept it."""
    form = await visit.form()
    event = form.get("event", "")
    if event not in CHANGES:
        raise Malformed.of(Reason.USAGE, " or ".join(CHANGES), ascii(event[:40]))
    await factor(visit)
    device, reason = visit.path("device"), form.get("reason", "")
    request = pb.ChangeRequest(device=device, event=event, reason=reason)
    await visit.calls.operator("Change", request, reason=reason)
    return visit.go(f"/camera/{device}")


async def maintenance(visit: Visit) -> Response:
    """Begin work on it, or end it: 0 minutes."""
    form = await visit.form()
    text = form.get("minutes", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= MAX_MINUTES):
        raise Malformed.of(Reason.USAGE, f"0 to {MAX_MINUTES} minutes", ascii(text[:20]))
    device, reason = visit.path("device"), form.get("reason", "")
    request = pb.MaintenanceRequest(device=device, minutes=int(text), reason=reason)
    await visit.calls.operator("ChangeMaintenance", request, reason=reason)
    return visit.go(f"/camera/{device}")


async def masks_of(live: Live, device: str) -> Sequence[Any]:
    """The polygons of a camera's masks in force, [[x, y], …] each; none where one may not see."""
    try:
        return (await _in_force(live, device)).polygons
    except Refused:
        return ()


class _InForce(NamedTuple):
    """Masks as they are signed: their version, 0 where there are none, and their regions."""

    version: int
    regions: Sequence[Any]

    @property
    def polygons(self) -> list[Any]:
        """[[x, y], …] each."""
        return [r["points"] for r in self.regions if "points" in r]

    @property
    def channels(self) -> list[Any]:
        """What is not drawn here."""
        return [r for r in self.regions if "channel" in r]


async def _in_force(live: Live, device: str) -> _InForce:
    """A camera's masks in force. Raises Refused where one may not see them: who draws masks without
    would take those away, and not know it (N238).
    """
    reply = await live.calls.operator("ShowMasks", pb.DeviceRequest(device=device))
    if not reply.envelope:
        return _InForce(reply.version, ())
    payload = parse_envelope(reply.envelope, MaskStatement.TYPE).payload
    return _InForce(reply.version, MaskStatement.parse_payload(payload).regions)


async def edit_masks(visit: Visit) -> Response:
    """The page on which masks are drawn, over the latest frame that is kept."""
    device = visit.path("device")
    live = visit.live
    detail = await visit.calls.operator("Show", pb.DeviceRequest(device=device))
    shown = next((v for v in latest(live, device) if v.outcome != "UNINSPECTED"), None)
    now = await _in_force(live, device)
    return visit.show(
        "masks.html",
        title="masks.title",
        d=detail.summary,
        pictured=shown,
        regions=json.dumps([{"points": p} for p in now.polygons]),
        over=now.version,
        scripts=("regions.js",),
    )


async def set_masks(visit: Visit) -> Response:
    """Ask for these masks: the same message that the command line sends, which the controller
    signs once somebody else approved it. Channels that are masked are not drawn here, and stay.

    `over` is the version that they were drawn over: what somebody else put in force meanwhile is
    not taken away by who has not seen it (N238).
    """
    form = await visit.form()
    device, reason = visit.path("device"), form.get("reason", "")
    drawn = regions_of(form.get("regions"), Reason.MASK)
    now = await _in_force(visit.live, device)
    if form.get("over") != str(now.version):
        wanted = f"masks drawn over version {now.version}, which is in force"
        hint = f"/camera/{device}/masks shows them; draw over those"
        raise Refused.of(Reason.CONFLICT, wanted, ascii(form.get("over", "")[:20]), hint)
    regions = drawn + now.channels
    check_masks(regions)
    await factor(visit)
    request = pb.SetMasksRequest(device=device, regions=json.dumps(regions).encode())
    await visit.calls.operator("SetMasks", request, reason=reason)
    return visit.go(f"/camera/{device}")


def regions_of(text: str | None, reason: Reason) -> list[Any]:
    """[{points}] out of a form's field. Raises Malformed (`reason`): a form without the field is
    another form, and asks for nothing here.
    """
    try:
        regions = json.loads(text if text is not None else "")
    except (ValueError, RecursionError) as error:
        raise Malformed.of(reason, "regions as JSON", type(error).__name__) from error
    if not isinstance(regions, list):
        raise Malformed.of(reason, "a list of regions", type(regions).__name__)
    return regions


def _posture(text: str) -> list[tuple[str, str]]:
    """Posture, a fact a row; everything in it is the machine's own word."""
    try:
        facts = json.loads(text) if text else {}
    except ValueError:
        return [("posture", text)]
    return [
        (str(name).replace("_", " "), _fact(value))
        for name, value in (facts.items() if isinstance(facts, dict) else ())
        if value not in ("", -1, [])
    ]


def _fact(value: Any) -> str:
    if isinstance(value, list):
        more = f" + {len(value) - 8}" if len(value) > 8 else ""
        return ", ".join(map(str, value[:8])) + more
    return str(value)


CAMERA: Final = LivePage("camera", "camera.html", load, forms="camera_forms.html", least_s=0.5)
