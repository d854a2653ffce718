"""docs/reference/events.md, from the declarations of events."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Final

from framegate.record.event import Event
from framegate.record.events import events
from made.markdown import table

PAGE: Final = "docs/reference/events.md"
HEAD: Final = """# Events of the record

Made from the declarations in `core/framegate/record/*_events.py` by `make pages`; do not edit.

Every entry of kind `event` in the record has `at_ms`, `event`, `actor`, where it applies `device`,
`from`, `to`, in words `detail`, as typed values `members`, and, where a person's verb did it,
`source`, `verb`, `reason`, `approved_by`, `request`, `policies`, `policy`. *Seen by* is who gets
an event from `framegate events`: `zone`, whoever sees the machine's zone; `fleet`, whoever sees
every zone. The whole record is the auditors' (`framegate audit list`). Routine events are left out
of `framegate events`.

"""


def pages() -> dict[str, str]:
    """The page by its path."""
    head = ("event", "severity", "seen by", "members", "what happened")
    return {PAGE: HEAD + table(head, (_row(n, c) for n, c in events().items()))}


def _row(name: str, cls: type[Event]) -> tuple[str, ...]:
    declared = cls.DECLARED
    severity = declared.severity.name.lower()
    if inspect.getattr_static(cls, "severity") is not inspect.getattr_static(Event, "severity"):
        severity += " or above"
    seen = declared.seen_by + (", routine" if declared.routine else "")
    own = [f"`{f.name}`" for f in dataclasses.fields(cls) if f.name != "device"]
    told = " ".join((inspect.getdoc(cls) or "").split())
    return f"`{name}`", severity, seen, ", ".join(own) or "none", told
