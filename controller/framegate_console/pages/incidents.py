"""Incidents and their timelines, and the playbooks that answer."""

from __future__ import annotations

import json
from typing import Final

from starlette.responses import Response

from framegate.errors import Malformed, Reason
from framegate.record.incident_events import IncidentVerdict
from framegate.record.incident_export import timeline
from framegate_console.form_numbers import number
from framegate_console.live import Live
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.pages.signin import factor
from framegate_console.visit import Visit
from framegate_proto.v1 import framegate_pb2 as pb

LISTED: Final = 100


async def load(live: Live, _: str) -> Loaded:
    """Incidents, the newest first."""
    request = pb.ListIncidentsRequest(all=True, limit=LISTED)
    rows = (await live.calls.operator("ListIncidents", request)).incidents
    return {
        "standing": [r for r in rows if not r.closed_ms],
        "closed": [r for r in rows if r.closed_ms],
    }


async def load_one(live: Live, key: str) -> Loaded:
    """One incident, in one timeline."""
    reply = await live.calls.operator("ShowIncident", pb.IncidentRequest(incident=number(key)))
    return {
        "i": reply.incident,
        "timeline": timeline([json.loads(e) for e in reply.entries]),
        "verdicts": tuple(IncidentVerdict),
    }


async def change(visit: Visit) -> Response:
    """A note, somebody who sees to it, or what it came to."""
    form, incident = await visit.form(), number(visit.path("number"))
    what, text = form.get("what", ""), form.get("text", "")
    await factor(visit)
    if what == "note":
        await visit.calls.operator(
            "NoteIncident", pb.NoteIncidentRequest(incident=incident, note=text)
        )
    elif what == "assign":
        await visit.calls.operator(
            "AssignIncident", pb.AssignIncidentRequest(incident=incident, assignee=text)
        )
    elif what == "close":
        request = pb.CloseIncidentRequest(
            incident=incident, verdict=form.get("verdict", ""), note=text
        )
        await visit.calls.operator("CloseIncident", request)
    else:
        raise Malformed.of(Reason.USAGE, "note, assign or close", ascii(what[:40]))
    return visit.go(f"/incident/{incident}")


async def load_playbooks(live: Live, _: str) -> Loaded:
    """Playbooks, and what they did or held back."""
    playbooks = (await live.calls.operator("ListPlaybooks", pb.ListRequest())).rows
    request = pb.PlaybookHistoryRequest(limit=LISTED)
    steps = (await live.calls.operator("PlaybookHistory", request)).rows
    return {"playbooks": playbooks, "steps": steps}


INCIDENTS: Final = LivePage("incidents", "incidents.html", load)
INCIDENT: Final = LivePage("incident", "incident.html", load_one, forms="incident_forms.html")
PLAYBOOKS: Final = LivePage("playbooks", "playbooks.html", load_playbooks)
