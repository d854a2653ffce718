"""`framegate kpi`: how soon things were found, contained, taken up and made good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason
from framegate.record.kpi import Kpis, Response, Share, Times, measure
from framegate.signed.dsse import strict_json
from framegate_host.console import show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import errors, moment_ms, show_table
from framegate_operator.record_answers import entries_of, working_out
from framegate_proto.v1 import framegate_pb2 as pb

NONE = "none"
"""What stands where there is no data: no figure is made up."""


@read
def kpi(
    since: Annotated[str, typer.Option(help="Only what was detected since: 30d, 2026-11-01.")] = "",
    export: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Of an export: framegate audit export."),
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Times to detect, contain, acknowledge and recover, drills apart; coverage, false alarms,
    actions undone, approvals, sinks. All of it out of the record.
    """
    with errors():
        since_ms = moment_ms(since) if since else 0
        with working_out():
            kpis = measure(_exported(export) if export else _logged(context), since_ms)
        if output == "json":
            show_json(as_json(kpis))
            return
        rows = [*_rows("real", kpis.real), *_rows("drill", kpis.drills)]
        rows.append(("", "approvals", *_cells(kpis.approvals)))
        rows.append(("", "sink lag", *_cells(kpis.sink_lag)))
        titles = ("", "time to", "n", "median", "p90", "max", "open", "values")
        show_table(titles, rows, empty="")
        for name, share in (
            ("false alarms", kpis.real.false_alarms),
            ("actions undone", kpis.actions_undone),
            ("coverage", kpis.coverage),
        ):
            talk.print(f"{name}: {_share(name, share)}")
        if kpis.real.contain.open or kpis.drills.contain.open:
            talk.print("next: framegate incident list")


def as_json(kpis: Kpis) -> dict[str, Any]:
    """All figures as data; `scripts/kpi_check.py` gives the same."""
    body = asdict(kpis)
    for part in (body, body["real"], body["drills"]):
        for value in part.values():
            if isinstance(value, dict) and "whole" in value:
                value["rate"] = Share(**value).rate
            elif isinstance(value, dict) and "values" in value:
                value["values"] = list(value["values"])
    return body


def _rows(kind: str, response: Response) -> Iterator[tuple[object, ...]]:
    yield kind, "detect (at most)", *_cells(response.detect)
    yield kind, "contain", *_cells(response.contain)
    yield kind, "acknowledge", *_cells(response.acknowledge)
    yield kind, "recover", *_cells(response.recover)


def _cells(times: Times) -> tuple[object, ...]:
    figures = (times.median, times.p90, times.max)
    values = " ".join(_span(v) for v in times.values)
    return times.n, *map(_span, figures), times.open, values


def _span(ms: float | None) -> str:
    """A time in its largest unit, one digit of it."""
    if ms is None:
        return NONE
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms >= size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms / 1000:.1f} s"


def _share(name: str, share: Share) -> str:
    if share.rate is None:
        return NONE
    if name == "coverage":
        return f"{100 * share.rate:.2f} % of {_span(share.whole)} are reported"
    return f"{share.part} of {share.whole} ({100 * share.rate:.1f} %)"


def _logged(context: Path | None) -> Iterable[Mapping[str, Any]]:
    with operator_stub(load_context(context)) as stub:
        size = stub.LogHead(pb.LogHeadRequest()).size
        yield from entries_of(stub.ReadLog(pb.ReadLogRequest(limit=size), stream=True))


def _exported(export: Path) -> Iterable[Mapping[str, Any]]:
    """Entries of an export. Raises Malformed (USAGE) where it is none."""
    with export.open("rb") as lines:
        for line in lines:
            entry = strict_json(line)
            if type(entry) is not dict:
                wanted = "an export of the record"
                raise Malformed.of(Reason.USAGE, wanted, export, "framegate audit export --out")
            if "index" in entry and "kind" in entry:
                yield entry
