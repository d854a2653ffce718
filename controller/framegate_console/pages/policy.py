"""The access policy: read, explained for one act, and tried on what was decided before."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from framegate.access.verbs import verbs
from framegate.errors import Failure
from framegate_console.form_numbers import since_ms
from framegate_console.visit import Visit
from framegate_proto.edge import from_failures
from framegate_proto.v1 import framegate_pb2 as pb

ROWS: Final = 200


async def show(visit: Visit, **members: Any) -> Response:
    """The policy in force, verified here by the fleet's root, and its history."""
    # Cedar's engine takes megabytes, and few people read the policy
    from framegate.access.policy import verify_policy  # noqa: PLC0415

    reply = await visit.calls.operator("ShowPolicy", pb.PolicyRequest())
    policy = verify_policy(reply.envelope, visit.console.context.root_certificate)
    history = (await visit.calls.operator("PolicyHistory", pb.ListRequest())).versions
    zones = (await visit.calls.operator("ListZones", pb.ListRequest())).zones
    everything = {
        "version": reply,
        "files": sorted(policy.files.items()),
        "history": history,
        "verbs": sorted(verbs().values(), key=lambda v: v.name),
        "zones": [z.name for z in zones],
        "explained": None,
        "simulated": None,
        "asked": {},
    }
    return visit.show("policy.html", title="policy.title", **{**everything, **members})


async def explain(visit: Visit) -> Response:
    """Whether who is signed in may do something, by which policies, and why not."""
    verb, zone, target = (visit.asked(n) for n in ("verb", "zone", "target"))
    reply = await visit.calls.operator(
        "CanI", pb.CanIRequest(verb=verb, zone=zone or "*", target=target)
    )
    failures: tuple[Failure, ...] = from_failures(reply.failures)
    asked = {"verb": verb, "zone": zone, "target": target}
    return await show(visit, explained=reply, failures=failures, asked=asked)


async def simulate(visit: Visit) -> Response:
    """What would have been decided otherwise under the texts of the form; nothing is changed."""
    form = await visit.form()
    files = [
        pb.PolicyFile(name=name.removeprefix("file:"), text=text.replace("\r\n", "\n"))
        for name, text in form.items()
        if name.startswith("file:")
    ]
    request = pb.SimulateRequest(files=files, since_ms=since_ms(form.get("hours", "") or "24"))
    rows = await visit.calls.operator_rows("SimulatePolicy", request, ROWS)
    return await show(
        visit,
        simulated=[r for r in rows if r.was != r.would],
        same=sum(r.count for r in rows if r.was == r.would),
        files=[(f.name, f.text) for f in files],
    )
