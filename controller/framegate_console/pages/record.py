"""The record: searched, and one entry with the proof that it stands there."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from framegate.record.events import events
from framegate.record.verify import LogAnchor
from framegate_console.form_numbers import number, since_ms
from framegate_console.visit import Visit
from framegate_operator.audit_proofs import PROOF_FORMAT, proof_json, proved_head
from framegate_proto.v1 import framegate_pb2 as pb

PAGE: Final = 100
"""Entries on one page; more is narrowed down, or exported by the command line."""
SPANS: Final = (1, 8, 24, 168)
"""Hours back that are offered."""


async def search(visit: Visit) -> Response:
    """The newest entries of what is asked for."""
    hours = visit.asked("hours")
    event = visit.asked("event")
    request = pb.ReadLogRequest(
        limit=PAGE,
        device=visit.asked("device"),
        event=event if event in events() else "",
        actor=visit.asked("actor"),
        newest_first=True,
        since_ms=since_ms(hours) if hours and number(hours) else 0,
    )
    rows = await visit.calls.operator_rows("ReadLog", request, PAGE)
    entries: list[dict[str, Any]] = [json.loads(r.entry) for r in rows]
    return visit.show(
        "record.html",
        title="record.title",
        entries=entries,
        names=sorted(events()),
        asked={n: visit.asked(n) for n in ("event", "device", "actor", "hours")},
        spans=SPANS,
        unknown=bool(event) and event not in events(),
    )


async def entry(visit: Visit) -> Response:
    """One entry, and the proof that it stands in the record, verified here."""
    index = number(visit.path("index"))
    reply = await visit.calls.operator("ProveLog", pb.ProveLogRequest(index=index))
    head = proved_head(reply, LogAnchor(root=visit.console.context.root_certificate))
    return visit.show(
        "entry.html",
        title="entry.title",
        index=index,
        entry=_facts(json.loads(reply.entry)),
        checkpoint=head,
    )


async def proof(visit: Visit) -> Response:
    """The proof as a file: framegate audit verify takes it."""
    index = number(visit.path("index"))
    reply = await visit.calls.operator("ProveLog", pb.ProveLogRequest(index=index))
    body = json.dumps({"format": PROOF_FORMAT, **proof_json(reply)}).encode()
    name = f"record-entry-{index}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/json", headers=headers)


def _facts(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, sort_keys=True))
        for k, v in entry.items()
    ]
