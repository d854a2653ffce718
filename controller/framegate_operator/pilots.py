"""`framegate pilot …`: a whole zone that inspects and judges and diverts nothing, what enforcing it
would have done, and the step on. One file beside the access policy, approved and kept with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.findings.kinds import FindingKind
from framegate.pilot.policy import (
    FILE,
    LIFE,
    Pilot,
    Pilots,
    Stage,
    life_of,
    parse_pilots,
    pilot_changes,
    pilots_text,
    require_ends,
    stage_of,
)
from framegate.pilot.would_be import (
    EVIDENCE_REFUSED,
    PILOT_KINDS,
    PilotReport,
    RefusedDevice,
    pilot_report,
    refused_devices,
)
from framegate.pilot.would_stop import StopRow, would_stops
from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import (
    ago,
    ago_ms,
    counted,
    data,
    errors,
    seconds_of,
    show_table,
    until,
)
from framegate_operator.policy_files import fetch_policy
from framegate_operator.policy_versions import apply_files
from framegate_operator.record_answers import entries_of, working_out
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Pilots: a zone is judged and nothing of it diverted, until somebody enforces it.",
)
MAX_ENTRIES: Final = 100_000
"""Entries of one kind that are read: what lines of a zone report in some weeks."""
_HOUR_S, _DAY_S = 3_600, 86_400
Zone = Annotated[str, typer.Argument(help="The fleet's zone.")]
Until = Annotated[
    str, typer.Option("--until", help="When it is enforced by itself: 14d, or a date.")
]
Life = Annotated[
    str, typer.Option("--life", help="How long a line goes by the last word of it: 1m to 8h.")
]
Note = Annotated[str, typer.Option(help="For the policy's history.")]


@app.command("show")
@read
def show(output: Output = "table", context: Context = None) -> None:
    """Which zones are piloted, until when, and by which policy; every other one is enforced."""
    with errors():
        policy = fetch_policy(load_context(context))
        now = time.time_ns() // 1_000_000
        if output == "json":
            body = [{**asdict(p), "runs": now < p.until_ms} for p in policy.pilots.values()]
            show_json({"policy": policy.label, "pilots": body})
            return
        rows = [
            (p.zone, stage_of(policy.pilots, p.zone, now), until(p.until_ms), f"{p.life_s} s")
            for p in policy.pilots.values()
        ]
        show_table(("zone", "stage", "ends", "life"), rows, empty="every zone is enforced")
        for line in piloted_lines(policy.pilots, now):
            data.print(line, soft_wrap=True)


@app.command("observe")
@write
def observe(
    zone: Zone,
    ends: Until,
    life: Life = LIFE,
    note: Note = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Stop diverting in a zone: it inspects and judges, every part goes on, and what enforcing
    would have done is counted. Somebody else has to approve exactly this.
    """
    with errors():
        _put(_pilot(zone, Stage.OBSERVE, ends, life), zone, note, output, context)


@app.command("warn")
@write
def warn(
    zone: Zone,
    ends: Until,
    life: Life = LIFE,
    note: Note = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """As observe, and each part that enforcing would divert is told of at once, at the line and in
    the record. Somebody else has to approve exactly this.
    """
    with errors():
        _put(_pilot(zone, Stage.WARN, ends, life), zone, note, output, context)


@app.command("enforce")
@write
def enforce(zone: Zone, note: Note = "", output: Output = "table", context: Context = None) -> None:
    """End a zone's pilot: from now on a part passes by its PASS alone. Somebody else has to approve
    exactly this; the way back is `framegate pilot observe`.
    """
    with errors():
        _put(None, zone, note, output, context)


@app.command("report")
@read
def report(
    zone: Zone,
    since: Annotated[str, typer.Option(help="What was seen since then: 12h, 30d.")] = "7d",
    output: Output = "table",
    context: Context = None,
) -> None:
    """What enforcing the zone would have done: parts that would have been diverted, by camera and
    reason, stops that lines would have asked for, and machines that are refused in every stage.
    """
    with errors():
        with operator_stub(load_context(context)) as stub, working_out():
            seen = pilot_report(zone, _entries(stub, sorted(PILOT_KINDS), ago_ms(since)))
            stops = would_stops(zone, _entries(stub, [FindingKind.PILOT_STOP], ago_ms(since)))
            refused = refused_devices(zone, _entries(stub, [EVIDENCE_REFUSED], ago_ms(since)))
        if output == "json":
            show_json({**_report(seen, refused), "would_be_stops": [asdict(s) for s in stops]})
        else:
            _show_report(seen, refused)
            _show_stops(stops)


def piloted_lines(pilots: Pilots, now_ms: int) -> Iterator[str]:
    """Loudly, each zone in which nothing is diverted now."""
    for pilot in pilots.values():
        if not stage_of(pilots, pilot.zone, now_ms).diverts:
            yield (
                f"[bold red]ZONE {safe(pilot.zone)} DIVERTS NOTHING[/]: {pilot.words}, "
                f"{until(pilot.until_ms)}; framegate pilot report {safe(pilot.zone)}"
            )


def pilots_in_force(context: Any) -> Pilots | None:
    """Pilots of the policy in force, verified here; None where that cannot be read."""
    try:
        return fetch_policy(context).pilots
    except FramegateError:
        return None


def _pilot(zone: str, stage: Stage, ends: str, life: str) -> Pilot:
    return Pilot(zone=zone, stage=stage, until_ms=_ends_ms(ends), life_s=life_of(life))


def _ends_ms(text: str) -> int:
    """Milliseconds since the epoch of a span ahead, to the end of its hour or, from a day on, of
    its day (UTC), so that it is the same when it is asked for again after approval; or of a date.
    Raises Malformed (USAGE).
    """
    try:
        seconds = seconds_of(text)
    except Malformed:
        pass
    else:
        whole = _DAY_S if seconds >= _DAY_S else _HOUR_S
        return int(-(-(time.time() + seconds) // whole) * whole) * 1000
    try:
        return int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        wanted = "a time span ahead or a date: 14d, 2027-01-31, 2027-01-31T18:00"
        raise Malformed.of(Reason.USAGE, wanted, ascii(text[:30])) from error


def _put(pilot: Pilot | None, zone: str, note: str, output: str, context: Path | None) -> None:
    """Ask for the policy in force with another file of pilots. Raises Refused (CONFLICT) where that
    would change nothing.
    """
    operator = load_context(context)
    policy = fetch_policy(operator)
    others = {z: p for z, p in policy.pilots.items() if z != zone}
    wanted = others if pilot is None else {**others, zone: pilot}
    if pilot is None and zone not in policy.pilots:
        seen, hint = "it is enforced", "framegate pilot show"
        raise Refused.of(Reason.CONFLICT, f"a pilot of zone {zone}", seen, hint)
    text = pilots_text(wanted)
    after = parse_pilots(text)  # as everybody will read it
    require_ends(after, time.time_ns() // 1_000_000)
    files = {name: t for name, t in policy.files.items() if name != FILE}
    if wanted:
        files[FILE] = text
    told = pilot_changes(policy.pilots, after)
    if output == "table":
        for line in told:
            talk.print(safe(line))
    said = note or "; ".join(told)
    apply_files(files, note=said, base=policy.version, output=output, context=context)


def _entries(stub: Any, kinds: Iterable[str], since_ms: int) -> Iterator[Mapping[str, Any]]:
    for kind in kinds:
        request = pb.ReadLogRequest(event=kind, limit=MAX_ENTRIES, since_ms=since_ms)
        yield from entries_of(stub.ReadLog(request, stream=True))


def _show_report(seen: PilotReport, refused: tuple[RefusedDevice, ...]) -> None:
    share = f" of {counted(seen.parts, 'part')}" if seen.parts else ""
    data.print(
        f"[bold]{seen.diverted}{share} would have been diverted[/], by "
        f"{counted(len(seen.cameras), 'camera')}; they went on, and none of them is a PASS"
    )
    rows = [
        (
            r.told.stage,
            r.line,
            r.told.camera.split(".")[-1],
            *_what(r.told),
            r.count,
            ago(r.last_ms),
        )
        for r in seen.rows
    ]
    columns = ("stage", "line", "camera", "would be", "because", "parts", "last")
    show_table(columns, rows, empty=f"no line reported of a pilot of {seen.zone}")
    devices = sorted({r.device for r in refused})
    data.print(f"\n[bold]{counted(len(devices), 'machine')} refused[/], in a pilot as without one")
    cells = [(r.device, r.reason, r.count, ago(r.last_ms)) for r in refused]
    show_table(("machine", "because", "times", "last"), cells, empty="none")


def _show_stops(stops: tuple[StopRow, ...]) -> None:
    total = sum(s.count for s in stops)
    data.print(f"\n[bold]{counted(total, 'time')} the line would have been asked to stop[/]")
    cells = [(s.line, s.reason, s.count, ago(s.last_ms)) for s in stops]
    show_table(("line", "because", "times", "last"), cells, empty="none that a line reported")


def _what(told: Any) -> tuple[str, str]:
    """What enforcing would have done with the part, and why."""
    if told.outcome == "PASS":
        return "passed", ""
    return "diverted", f"{told.outcome} {told.reason}".strip()


def _report(seen: PilotReport, refused: tuple[RefusedDevice, ...]) -> dict[str, Any]:
    return {
        "zone": seen.zone,
        "parts": seen.parts,
        "would_be_diverted": seen.diverted,
        "cameras": list(seen.cameras),
        "rows": [
            {
                "line": r.line,
                "stage": r.told.stage.value,
                "outcome": r.told.outcome.value,
                "reason": r.told.reason,
                "camera": r.told.camera,
                "parts": r.count,
                "first_ms": r.first_ms,
                "last_ms": r.last_ms,
            }
            for r in seen.rows
        ],
        "refused": [asdict(r) for r in refused],
    }
