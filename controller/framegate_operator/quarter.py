"""`framegate review`: what a quarter brought: what improved, what did not, what to do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from framegate.assessment.page import (
    EFFECT_HEADS,
    compared_cells,
    day,
    effect_cells,
    review_page,
)
from framegate.assessment.review import (
    Compared,
    Moved,
    Review,
    parse_quarter,
    quarter_of,
    review,
    to_do,
)
from framegate_host.console import safe, show_json, talk
from framegate_host.printing import show_text
from framegate_host.private_files import write_private
from framegate_operator.assess import check_words
from framegate_operator.options import Context, read
from framegate_operator.output import data, errors, show_table
from framegate_operator.recorded import Export, Root, read_record

Form = Literal["table", "json", "page"]
_ORDER = (Moved.IMPROVED, Moved.WORSE, Moved.NEW, Moved.GONE, Moved.SAME, Moved.UNMEASURED)


@read
def review_(
    quarter: Annotated[
        str, typer.Option(help="Which one: 2026Q4; default: the one that runs.")
    ] = "",
    export: Export = None,
    root: Root = None,
    output: Annotated[
        Form, typer.Option("--output", "-o", help="page: HTML for people.")
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    context: Context = None,
) -> None:
    """What a quarter brought: what improved, what did not, what was changed and what came of it,
    what to do. All of it out of the record.
    """
    with errors():
        asked = parse_quarter(quarter) if quarter else None
        record = read_record(context, export, root)
        span = asked or quarter_of(record.at_ms)
        found = review(record.reading, span.from_ms, min(span.to_ms, record.at_ms))
        if output == "table" and out is None:
            _tell(found)
            return
        fleet = record.reading.fleet
        if output == "json" and out is None:
            show_json(as_json(found))
            return
        text = review_page(found, fleet)
        if out is None:
            show_text(text, end="")
            return
        write_private(out, text.encode())
        talk.print(f"{safe(out)}: {day(found.from_ms)} to {day(found.to_ms)}")


def _tell(found: Review) -> None:
    data.print(f"{day(found.from_ms)} to {day(found.to_ms)}", highlight=False)
    data.print()
    ordered = sorted(found.compared, key=lambda c: _ORDER.index(c.moved))
    rows = [(c.moved.value, *compared_cells(c)) for c in ordered]
    show_table(("", "check", "before", "now", "is"), rows, empty="")
    data.print()
    changes = [effect_cells(e) for e in found.effects]
    show_table(EFFECT_HEADS, changes, empty="nothing was changed")
    todo = to_do(found.compared)
    for checked in todo:
        data.print(check_words(checked), soft_wrap=True, highlight=False)
        data.print(f"  next: {checked.check.following}", soft_wrap=True, highlight=False)


def as_json(found: Review) -> dict[str, Any]:
    """A review as data."""
    return {
        "from_ms": found.from_ms,
        "to_ms": found.to_ms,
        "checks": [_compared(c) for c in found.compared],
        "changes": [asdict(e) for e in found.effects],
        "to_do": [
            {"check": c.check.name, "status": c.status.value, "next": c.check.following}
            for c in to_do(found.compared)
        ],
    }


def _compared(compared: Compared) -> dict[str, Any]:
    before, after = compared.before, compared.after
    return {
        "check": after.check.name,
        "moved": compared.moved.value,
        "before": before.fact.value,
        "now": after.fact.value,
        "status": after.status.value,
        "entries": list(after.fact.entries),
    }
