"""Entries of the audit log as rows: for a terminal, and for a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from framegate_operator.output import ago, shortened

_COLUMNS = (
    "index",
    "at_ms",
    "event",
    "actor",
    "device",
    "verb",
    "from",
    "to",
    "source",
    "approved_by",
    "reason",
    "policies",
    "detail",
)
TITLES = (
    "entry",
    "when",
    "event",
    "by",
    "device",
    "state",
    "from",
    "approved by",
    "why",
    "policies",
    "detail",
)


def entry_cells(e: dict[str, Any]) -> tuple[object, ...]:
    """The cells of one entry, under `TITLES`."""
    return (
        e["index"],
        ago(e["at_ms"]),
        e.get("event", e["kind"]),
        e.get("actor", e.get("gateway", "")),
        e.get("device", ""),
        _moved(e),
        e.get("source", ""),
        ", ".join(e.get("approved_by", [])),
        e.get("reason", ""),
        ", ".join(e.get("policies", [])),
        shortened(e.get("detail", "")),
    )


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows for a spreadsheet, in which nothing an attacker wrote is a formula or a control
    character (N29).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(c, "")) for c in _COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t"} else text


def _moved(e: dict[str, Any]) -> str:
    return f"{e.get('from', '') or 'nothing'} -> {e['to']}" if e.get("to") else ""
