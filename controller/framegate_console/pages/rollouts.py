"""Rollouts of firmware profiles: how far each is, who would change, and its brake."""

from __future__ import annotations

from collections import Counter
from typing import Final

from starlette.responses import Response

from framegate.errors import Malformed, Reason, Refused
from framegate_console.live import Live
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.pages.signin import factor
from framegate_console.visit import Visit
from framegate_proto.v1 import framegate_pb2 as pb

CHANGES: Final = ("pause", "resume", "abort", "retire")


async def load(live: Live, _: str) -> Loaded:
    """The latest rollouts."""
    reply = await live.calls.operator("ShowRollouts", pb.RolloutRequest())
    return {"rollouts": reply.rollouts}


async def load_one(live: Live, key: str) -> Loaded:
    """One rollout and each machine in it, those that would fall or failed first."""
    rows = (await live.calls.operator("ShowRollouts", pb.RolloutRequest(rollout=key))).rollouts
    if not rows:
        raise Refused.of(Reason.NOT_FOUND, "a rollout with this id", "none")
    row = rows[0]
    devices = sorted(row.devices, key=lambda d: (d.shadow != "fail", d.step, d.device))
    return {
        "r": row,
        "devices": devices,
        "seen": sorted(Counter(d.seen for d in row.devices).items()),
        "would_fall": sum(d.shadow == "fail" for d in row.devices),
        "turns": sorted(Counter(d.step for d in row.devices).items()),
    }


async def change(visit: Visit) -> Response:
    """Pause, resume, abort, retire the old revision."""
    form = await visit.form()
    verb = form.get("verb", "")
    if verb not in CHANGES:
        raise Malformed.of(Reason.USAGE, " or ".join(CHANGES), ascii(verb[:40]))
    await factor(visit)
    name = visit.path("id")
    request = pb.ChangeRolloutRequest(rollout=name, verb=verb)
    await visit.calls.operator("ChangeRollout", request, reason=form.get("reason", ""))
    return visit.go(f"/rollout/{name}")


ROLLOUTS: Final = LivePage("rollouts", "rollouts.html", load)
ROLLOUT: Final = LivePage("rollout", "rollout.html", load_one, forms="rollout_forms.html")
