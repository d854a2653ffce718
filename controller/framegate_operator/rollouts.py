"""`framegate rollout …` and `framegate replay`: bring a new profile into the fleet without a
false alarm, and try it on the past first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Failure, Malformed, Reason
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import parse_envelope
from framegate_host.console import EXIT_UNTRUSTED, safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.machines import device_named, short_names
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, ago_ms, counted, data, errors, seconds_of, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Rollouts of firmware profiles: shadow, canary, waves, enforce, retire.",
)
Id = Annotated[str, typer.Argument(help="The rollout's id or a unique prefix.")]


@app.command()
@write
def start(  # noqa: PLR0913 - a command's options
    profile: Annotated[
        str, typer.Argument(help="The profile's name; its newest imported revision is what comes.")
    ],
    canary: Annotated[int, typer.Option(min=0, help="Devices that go first.")] = 1,
    waves: Annotated[str, typer.Option(help="Rising percentages that end in 100.")] = "10,50,100",
    max_fail: Annotated[
        int, typer.Option(min=1, help="So many devices that match neither revision pause it.")
    ] = 1,
    soak: Annotated[str, typer.Option(help="How long each step lasts: 30m, 12h, 2d.")] = "1h",
    shadow: Annotated[
        bool,
        typer.Option(
            "--shadow", help="Only try the new revision on what comes; resume begins in earnest."
        ),
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Begin a rollout."""
    with errors():
        try:
            steps = [int(w) for w in waves.split(",")]
        except ValueError as error:
            raise Malformed.of(Reason.USAGE, "--waves 10,50,100", ascii(waves[:40])) from error
        request = pb.StartRolloutRequest(
            profile=profile,
            canary=canary,
            waves=[w for w in steps if 0 <= w <= 1000],
            max_fail=max_fail,
            soak_s=int(seconds_of(soak)),
            shadow=shadow,
        )
        with operator_stub(load_context(context)) as stub:
            status = stub.StartRollout(request)
        _show(status, output)


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """The latest rollouts."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ShowRollouts(pb.RolloutRequest()).rollouts
        if output == "json":
            show_json([_json(r) for r in rows])
            return
        cells = [
            (
                r.rollout,
                r.profile,
                f"{r.from_revision} -> {r.to_revision}",
                r.state,
                r.step if r.state in {"running", "paused"} else "",
                ago(r.started_ms),
                r.note,
            )
            for r in rows
        ]
        show_table(
            ("id", "profile", "revision", "state", "step", "begun", "last"),
            cells,
            empty="none: framegate profile import FILE --for-rollout, "
            "then framegate rollout start PROFILE",
        )


@app.command()
@read
def status(
    rollout: Annotated[str, typer.Argument(help="Id or unique prefix; default: the latest.")] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Where a rollout stands, and each device in it."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ShowRollouts(pb.RolloutRequest(rollout=rollout)).rollouts
        if not rows:
            talk.print("no rollout yet: framegate rollout start PROFILE")
            return
        _show(rows[0], output)


def _verb(verb: str, purpose: str) -> None:
    @app.command(verb, help=purpose)
    @write
    def run(rollout: Id, output: Output = "table", context: Context = None) -> None:
        with errors():
            with operator_stub(load_context(context)) as stub:
                reply = stub.ChangeRollout(pb.ChangeRolloutRequest(rollout=rollout, verb=verb))
            _show(reply, output)


for _name, _purpose in (
    ("pause", "Stop going on; what is reached stays reached."),
    ("resume", "Go on; out of shadow, begin with the canary. Failures are counted anew."),
    (
        "abort",
        "End it: the old revision stays in force, machines already updated stay accepted until "
        "they are put back.",
    ),
    (
        "retire",
        "After it is enforced: the old revision counts no more, machines still on it become "
        "suspect.",
    ),
):
    _verb(_name, _purpose)


def _show(row: pb.RolloutStatus, output: str) -> None:
    if output == "json":
        show_json(_json(row))
        return
    counts: dict[str, int] = {}
    for d in row.devices:
        counts[d.seen] = counts.get(d.seen, 0) + 1
    under_way = row.state in {"running", "paused"}
    data.print(
        f"rollout [bold]{safe(row.rollout)}[/] of {safe(row.profile)}: "
        f"revision {row.from_revision} -> {row.to_revision}, [bold]{safe(row.state)}[/]"
        + (f", {safe(row.step)} since {ago(row.step_ms)}" if under_way else "")
    )
    data.print(
        f"{safe(row.note)}; "
        + (", ".join(f"{n} {safe(s)}" for s, n in sorted(counts.items())) or "no devices")
        + f"; each step {row.soak_s} s, pauses at {counted(row.max_fail, 'failure')}"
    )
    names = short_names(d.device for d in row.devices)
    cells = [
        (
            names[d.device],
            d.step,
            d.seen,
            {"pass": "would pass", "fail": "would fail"}.get(d.shadow, ""),
            d.state,
            ago(d.at_ms),
        )
        for d in row.devices
    ]
    show_table(
        ("device", "turn", "seen", "new revision", "state", "last evidence"),
        cells,
        empty="no devices have this profile",
    )
    following = {
        "running": f"framegate rollout pause {row.rollout}",
        "paused": f"framegate rollout resume {row.rollout}, or abort",
        "shadow": f"framegate rollout resume {row.rollout}",
        "enforced": f"framegate rollout retire {row.rollout}, once nothing is overdue",
    }.get(row.state)
    if following:
        talk.print(f"next: {following}")


def _json(row: pb.RolloutStatus) -> dict[str, Any]:
    return {
        "rollout": row.rollout,
        "profile": row.profile,
        "from": row.from_revision,
        "to": row.to_revision,
        "state": row.state,
        "step": row.step,
        "step_ms": row.step_ms,
        "started_ms": row.started_ms,
        "note": row.note,
        "soak_s": row.soak_s,
        "max_fail": row.max_fail,
        "devices": [
            {
                "device": d.device,
                "step": d.step,
                "seen": d.seen,
                "shadow": d.shadow,
                "state": d.state,
                "at_ms": d.at_ms,
            }
            for d in row.devices
        ],
    }


def replay(
    profile: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The profile to try (TOML or signed); it need not be in the fleet.",
        ),
    ],
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d, 30d.")] = "7d",
    device: Annotated[
        str, typer.Option(help="Only this device, by name or id, whatever profile it has.")
    ] = "",
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="An IMA allowlist that the profile names and the fleet does not have.",
        ),
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Appraise stored evidence again by another profile and show who would change state. Writes
    nothing. Exit code 6 where somebody would fall.
    """
    with errors():
        operator = load_context(context)
        raw = read_file(profile)
        toml = parse_envelope(raw, PROFILE_TYPE).payload if raw[:1] == b"{" else raw
        request = pb.ReplayRequest(
            toml=toml,
            since_ms=ago_ms(since),
            device=device_named(operator, device),
            allowlists=[read_file(a) for a in allowlist or ()],
        )
        with operator_stub(operator) as stub:
            rows = list(stub.Replay(request, stream=True))
        if output == "json":
            show_json([_replayed(r) for r in rows])
        else:
            _tell(rows)
    if any(map(_falls, rows)):
        raise typer.Exit(EXIT_UNTRUSTED)


def _falls(r: pb.ReplayRow) -> bool:
    return r.was and not r.would and not r.problem


def _tell(rows: list[pb.ReplayRow]) -> None:
    labels = {True: "trusted", False: "suspect"}
    names = short_names(r.device for r in rows)
    cells = [
        (
            names[r.device],
            ago(r.last_ms),
            r.count,
            labels[r.was],
            r.problem or labels[r.would],
            "; ".join(f"{f.reason}: {f.actual}" for f in r.failures[:2])[:160],
        )
        for r in rows
        if r.was != r.would or r.problem
    ]
    columns = ("device", "evidence of", "times", "was", "would be", "because")
    show_table(columns, cells, empty="nobody would change state")
    falls, untold = sum(map(_falls, rows)), sum(bool(r.problem) for r in rows)
    rises = sum(not r.was and r.would for r in rows)
    seen = f"{len(rows)} pieces of evidence of {len({r.device for r in rows})} devices"
    talk.print(f"{seen}: {falls} would fall, {rises} would rise, {untold} cannot be told")


def _replayed(r: pb.ReplayRow) -> dict[str, Any]:
    failures = [
        Failure(
            Reason(f.reason) if f.reason in set(Reason) else Reason.INTERNAL,
            f.expected,
            f.actual,
            f.hint,
        ).as_dict()
        for f in r.failures
    ]
    return {
        "device": r.device,
        "evidence": r.evidence,
        "first_ms": r.first_ms,
        "last_ms": r.last_ms,
        "count": r.count,
        "was": r.was,
        "was_profile": r.was_profile,
        "would": r.would,
        "failures": failures,
        "problem": r.problem,
    }
