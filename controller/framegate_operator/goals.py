"""`framegate goals …`: what is to be reached, what is, and where it tends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.assessment.fact import Unit
from framegate.assessment.facts import all_measured, fact_named, facts
from framegate.assessment.goals import (
    Goal,
    Held,
    Point,
    forecast,
    held,
    history,
    parse_goals,
)
from framegate.assessment.page import day
from framegate.assessment.reading import DAY_MS, View
from framegate.errors import Malformed, Reason
from framegate_host.console import show_json, talk
from framegate_host.printing import show_text
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import errors, show_table
from framegate_operator.recorded import Export, Record, Root, read_record
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Goals for facts of the record: what is to be reached, what is, where it tends.",
)
EXAMPLE: Final = """version = 1

[[goal]]
name = "machines-prove-themselves"
fact = "machines-attested"
least = 0.99
why = "a machine that does not prove itself is not inspected with"

[[goal]]
name = "security-keys"
fact = "sign-ins-phishing-resistant"
least = 0.95
by = 2027-03-31
why = "passwords are phished"

[[goal]]
name = "drills"
fact = "drills-held"
least = 1
why = "what is not practised does not work"
"""
WEEKS: Final = 8
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Goals as TOML.")]


@app.command("show")
@read
def show(
    weeks: Annotated[int, typer.Option(min=1, max=104, help="How far back.")] = WEEKS,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Goals of a draft, not those in force."),
    ] = None,
    export: Export = None,
    root: Root = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Each goal: what is wanted, what is, what it was week by week, and when it will be reached if
    that goes on, where the data say so.
    """
    with errors():
        draft = parse_goals(_text(file)) if file is not None else None
        record = read_record(context, export, root)
        goals = draft if draft is not None else in_force(record)
        told = [_told(goal, record, weeks) for goal in goals]
        if output == "json":
            show_json([_json(*one) for one in told])
            return
        cells = [_cells(*one) for one in told]
        titles = ("goal", "zone", "wanted", "is", "stands", "by", "tends to", "weeks", "entries")
        show_table(titles, cells, empty="no goals in force; next: framegate goals example")


@app.command("set")
@write
def set_(file: File, output: Output = "table", context: Context = None) -> None:
    """Put goals in force; they replace all of before. Somebody else has to approve exactly this
    text.
    """
    with errors():
        text = _text(file)
        parse_goals(text)
        with operator_stub(load_context(context)) as stub:
            reply = stub.SetGoals(pb.SetGoalsRequest(text=text))
        if output == "json":
            show_json({"entry": reply.index, "goals": reply.goals})
        else:
            talk.print(
                f"{reply.goals} goals are in force (entry {reply.index}); "
                "next: framegate goals show"
            )


@app.command("example")
def example() -> None:
    """Goals to begin with, to be changed and put in force."""
    show_text(EXAMPLE, end="")


@app.command("facts")
@read
def facts_(
    zone: Annotated[str, typer.Option(help="Of this zone, where it can be told of one.")] = "",
    export: Export = None,
    root: Root = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Every fact that a goal can be about, and what it is now."""
    with errors():
        record = read_record(context, export, root)
        shown = all_measured(View(record.reading, record.at_ms, zone))
        if output == "json":
            rows = [
                {"fact": f.name, "value": f.value, "part": f.part, "whole": f.whole}
                | {"entries": list(f.entries), "says": facts()[f.name].says}
                for f in shown.values()
            ]
            show_json(rows)
            return
        cells = [
            (f.name, f.words, "yes" if facts()[f.name].zoned else "no", facts()[f.name].says)
            for f in shown.values()
        ]
        show_table(("fact", "is", "by zone", ""), cells, empty="")


def in_force(record: Record) -> tuple[Goal, ...]:
    """The goals that the record says are in force."""
    rows = View(record.reading, record.at_ms).rows("goals-set")
    return parse_goals(str(rows[-1]["members"]["text"])) if rows else ()


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        seen = type(error).__name__
        raise Malformed.of(Reason.USAGE, f"goals as TOML in {file}", seen) from error


def _told(goal: Goal, record: Record, weeks: int) -> tuple[Held, list[Point]]:
    times = [record.at_ms - n * 7 * DAY_MS for n in reversed(range(weeks))]
    return held(goal, record.reading, record.at_ms), history(goal, record.reading, times)


def _value(goal: Goal, value: float | None) -> str:
    if value is None:
        return "-"
    unit = fact_named(goal.fact).unit
    if unit == Unit.SHARE:
        return f"{100 * value:.0f}%"
    return f"{value / 1000:.0f}s" if unit == Unit.MS else f"{value:.0f}"


def _cells(found: Held, points: Sequence[Point]) -> tuple[object, ...]:
    goal, when = found.goal, forecast(found.goal, points)
    return (
        goal.name,
        goal.zone or "fleet",
        goal.target,
        found.fact.words,
        found.standing.value,
        day(goal.by_ms)[:10] if goal.by_ms else "now",
        day(when)[:10] if when is not None else "no forecast",
        " ".join(_value(goal, p.value) for p in points),
        ", ".join(map(str, found.fact.entries[:4])),
    )


def _json(found: Held, points: Sequence[Point]) -> dict[str, Any]:
    goal = found.goal
    return {
        "goal": goal.name,
        "fact": goal.fact,
        "zone": goal.zone,
        "least": goal.least,
        "most": goal.most,
        "by_ms": goal.by_ms,
        "why": goal.why,
        "value": found.fact.value,
        "stands": found.standing.value,
        "entries": list(found.fact.entries),
        "against": list(found.fact.against),
        "history": [{"at_ms": p.at_ms, "value": p.value} for p in points],
        "forecast_ms": forecast(goal, points),
    }
