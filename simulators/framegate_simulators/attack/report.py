"""The campaign's rows as a person reads them: what comes while it runs, and the table at its end,
no line wider than 80 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from framegate_simulators.attack.not_run import NOT_RUN

WIDTH: Final = 80
_INDENT: Final = " " * 20
_REASON: Final = 45


def word(row: Mapping[str, Any]) -> str:
    """What came of a row, in a word or two."""
    if row["id"] == "control":
        return "served" if row["refused"] else "BROKEN"
    return {True: "refused", False: "NOT REFUSED", None: "untried"}[row["refused"]]


def told(row: Mapping[str, Any]) -> Iterator[str]:
    """A row as it comes: id, what came of it, the attempt, what was observed."""
    head = f"{row['id']:8}{word(row):12}"
    texts = [t for t in (row["attempt"], row["observed"]) if t]
    for number, text in enumerate(texts or [""]):
        lead = head if number == 0 else _INDENT
        yield from textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=_INDENT) or [
            lead.rstrip()
        ]


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every row in a line, then what was not run and why."""
    yield f"{'id':8}{'outcome':12}{'control':9}{'s':>6}  reason"
    for row in rows:
        reason = textwrap.shorten(row["observed"], _REASON - 2, placeholder=" …")
        control = row.get("control", "")
        yield f"{row['id']:8}{word(row):12}{control:9}{row['seconds']:6.1f}  {reason}".rstrip()
    yield ""
    yield "Not run here, and why:"
    for left in NOT_RUN:
        yield from textwrap.wrap(
            f"{left.what}: {left.why}",
            WIDTH,
            initial_indent=f"{left.threat:8}",
            subsequent_indent=" " * 8,
        )
        yield f"  {left.test}"


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The last line."""
    tried = [r for r in rows if r["id"] != "control" and r["refused"] is not None]
    refused = sum(bool(r["refused"]) for r in tried)
    controls = [r for r in rows if r["id"] == "control"]
    served = sum(r.get("served", 0) for r in rows) + sum(bool(r["refused"]) for r in controls)
    asked = 2 * sum("control" in r for r in rows) + len(controls)
    untried = sum(r["refused"] is None for r in rows)
    return (
        f"{len(tried)} threats tried, {refused} refused, {untried} untried;"
        f" {served} of {asked} controls served"
    )


def failed(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether anything was not refused, a control was not served, or a threat was not tried."""
    return any(not r["refused"] for r in rows)
