"""Rows of the operator's port: incidents."""

from __future__ import annotations

from typing import Any, Final

from framegate.record.incidents import Incident
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.incidents import (
    AssignIncident,
    CloseIncident,
    DeclareDrill,
    Drill,
    IncidentView,
    ListIncidents,
    NoteIncident,
    ShowIncident,
)
from framegate_proto.v1 import framegate_pb2 as pb


def _row(incident: Incident) -> pb.IncidentRow:
    return pb.IncidentRow(
        incident=incident.number,
        about=incident.about,
        title=incident.title,
        severity=incident.priority,
        state=incident.state,
        assignee=incident.assignee,
        verdict=incident.verdict,
        drill=incident.drill,
        opened_ms=incident.opened_ms,
        closed_ms=incident.closed_ms,
        findings=len(incident.findings),
    )


def _rows(incidents: list[Incident], _fleet: Fleet) -> pb.IncidentsReply:
    return pb.IncidentsReply(incidents=[_row(i) for i in incidents])


def _view(view: IncidentView, fleet: Fleet) -> pb.IncidentReply:
    return pb.IncidentReply(incident=_row(view.incident), entries=view.entries, fleet=fleet.name)


def _drill(drill: Drill, _fleet: Fleet) -> pb.DrillReply:
    return pb.DrillReply(device=drill.device, until_ms=drill.until_ms)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ListIncidents", ListIncidents.parse, _rows),
    Rpc("ShowIncident", ShowIncident.parse, _view),
    Rpc("NoteIncident", NoteIncident.parse, _view),
    Rpc("AssignIncident", AssignIncident.parse, _view),
    Rpc("CloseIncident", CloseIncident.parse, _view),
    Rpc("DeclareDrill", DeclareDrill.parse, _drill),
)
