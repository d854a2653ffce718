"""`framegate assess`: where the fleet stands in CISA's Zero Trust Maturity Model, out of the record
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from framegate.assessment.bundle import results
from framegate.assessment.check import Checked, Status
from framegate.assessment.maturity import Assessed, Stage, ztmm
from framegate.assessment.page import entries_in_words
from framegate.assessment.standing import Standing, standing
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import parse_name
from framegate_host.console import safe, show_json, talk
from framegate_operator.options import Context, Output, read
from framegate_operator.output import data, errors, show_table
from framegate_operator.recorded import Export, Root, read_record

NOT_ASSESSED = "not assessed"
_STYLE = {
    None: "dim",
    Stage.TRADITIONAL: "red",
    Stage.INITIAL: "yellow",
    Stage.ADVANCED: "green",
    Stage.OPTIMAL: "green",
}


@read
def assess(
    pillar: Annotated[
        str, typer.Argument(help="Only this pillar: identity, devices, networks, …")
    ] = "",
    zone: Annotated[
        str, typer.Option(help="Facts of this zone, where they can be told of one.")
    ] = "",
    export: Export = None,
    root: Root = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Where the fleet stands: each function of CISA's model, as far as the record shows it, with
    the facts, their entries and what to do next. What is not measured is not assessed.
    """
    with errors():
        if pillar and pillar not in ztmm().pillars:
            wanted = f"a pillar: {', '.join(ztmm().pillars)}"
            raise Malformed.of(Reason.USAGE, wanted, ascii(pillar[:40]))
        record = read_record(context, export, root)
        where = parse_name(zone, "zone") if zone else ""
        zones = record.reading.zones
        if where and where not in zones:
            wanted = f"a zone with machines: {', '.join(zones) or 'none so far'}"
            raise Refused.of(Reason.NOT_FOUND, wanted, where, "framegate zone list")
        found = standing(record.reading, record.at_ms, zone=where)
        if output == "json":
            show_json(results(found))
            return
        _tell(found, pillar)


def _tell(found: Standing, pillar: str) -> None:
    for assessed in found.functions:
        if pillar in {"", assessed.function.pillar}:
            for line in _lines(assessed):
                data.print(line, soft_wrap=True, highlight=False)
    rows = [
        (p.title, p.stage.word if p.stage is not None else NOT_ASSESSED, p.assessed, p.not_assessed)
        for p in found.pillars
        if pillar in {"", p.name}
    ]
    data.print()
    show_table(("pillar", "at least", "assessed", "not assessed"), rows, empty="")
    model = ztmm()
    talk.print(
        f"{safe(model.name)} {safe(model.version)}, as read on {model.reviewed}; reviewed by "
        f"{model.reviewer}. A pillar is the least of what was assessed; "
        f"{found.size} entries of the record were read.",
        soft_wrap=True,
    )


def _lines(assessed: Assessed) -> Iterator[str]:
    function, stage = assessed.function, assessed.stage
    word = stage.word if stage is not None else NOT_ASSESSED
    yield f"[bold]{function.name:<36}[/][{_STYLE[stage]}]{word}[/]"
    if assessed.said is not None:
        said = assessed.said
        yield f"  {safe(said.by)} says so in entry {said.index}: {safe(said.because)}"
    elif not function.checks:
        yield "  no fact of the record shows it"
        yield "  next: framegate compliance state --help"
    shown = assessed.wanting or tuple(c for c in assessed.checked if c.status == Status.PASS)
    for checked in shown:
        yield f"  {check_words(checked)}"
    following = dict.fromkeys(c.check.following for c in assessed.wanting)
    for command in following:
        yield f"  next: {command}"
    if function.checks and not following:
        yield f"  not shown: {function.more}"


def check_words(checked: Checked) -> str:
    """A check in a line: the fact, what was wanted, the entries that show it."""
    entries = entries_in_words([checked], 4)
    where = f" (entries {entries})" if entries else ""
    shown, limit = checked.fact, checked.check.limit
    return safe(f"{checked.status}: {shown.name} is {shown.words}, wanted {limit}{where}")
