"""Write the reference pages that are made from declarations. With --check nothing is written: exit code 1 where a committed page is stale."""

import dataclasses
import inspect
import sys
import types
from pathlib import Path

from framegate.record.event import Event
from framegate.record.events import events

ROOT = Path(__file__).parents[1]
EVENTS = ROOT / "docs/reference/events.md"
HEAD = """# Events of the record

Made from the declarations in `core/framegate/record/*_events.py` by `make pages`; do not edit.

Every entry of kind `event` in the record has `at_ms`, `event`, `actor`, where it applies `device`, `from`, `to`, in words
`detail`, as typed values `members`, and, where a person's verb did it, `source`, `verb`, `reason`, `approved_by`, `request`,
`policies`, `policy`. *Seen by* is who gets an event from `framegate events`: `zone`, whoever sees the machine's zone; `fleet`,
whoever sees every zone. The whole record is the auditors' (`framegate audit list`). Routine events are left out of
`framegate events`.

| event | severity | seen by | members | what happened |
|---|---|---|---|---|
"""


def members_of(cls: type[Event]) -> str:
    """The typed members, as the declaration has them."""
    own = [f for f in dataclasses.fields(cls) if f.name != "device"]
    return ", ".join(f"`{f.name}`" for f in own) or "none"


def event_rows() -> str:
    """A row for each name, in the order of declaration."""
    rows = []
    for name, cls in events().items():
        declared = cls.DECLARED
        severity = declared.severity.name.lower()
        property_ = inspect.getattr_static(cls, "severity")
        if property_ is not inspect.getattr_static(Event, "severity"):
            severity += " or above"
        seen = declared.seen_by + (", routine" if declared.routine else "")
        words = " ".join((inspect.getdoc(cls) or "").split())
        rows.append(f"| `{name}` | {severity} | {seen} | {members_of(cls)} | {words} |")
    return "\n".join(rows) + "\n"


PAGES: dict[Path, types.FunctionType] = {EVENTS: lambda: HEAD + event_rows()}


def main() -> int:
    """0 where every page is as it would be made."""
    check = "--check" in sys.argv[1:]
    stale = [(path, made) for path, make in PAGES.items() if (made := make()) != (path.read_text() if path.exists() else "")]
    for path, made in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run make pages", file=sys.stderr)
        else:
            path.write_text(made)
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
