"""framegate-sim fleet. What it needs is imported when it runs, as with every command there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from framegate.errors import Reason, Unavailable
from framegate_host.console import OutputFormat, errors


def fleet(  # noqa: PLR0913 - a command's options
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="Machines.")] = 100,
    interval: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds between two attestations of each.")
    ] = 60.0,
    lasting: Annotated[
        str, typer.Option("--for", help="How long they live once all have joined: 90s, 5m, 1h.")
    ] = "5m",
    shares: Annotated[
        str,
        typer.Option(
            help="Percent of turns that are something else than a renewal, for instance"
            " reboots=1,updates=0.2,tampered=0.05,late=0.2."
        ),
    ] = "reboots=1,updates=0.2,tampered=0.05,late=0.2",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of machines.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed draws the same turns.")] = 1,
    controllers: Annotated[
        int, typer.Option(min=1, max=4, help="Controllers; several need --store postgres.")
    ] = 1,
    store: Annotated[
        Literal["file", "postgres"], typer.Option(help="Where their registry is.")
    ] = "file",
    rolling: Annotated[
        bool,
        typer.Option("--rolling", help="End each controller and start it again while they live."),
    ] = False,
    before: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Source of an earlier version: it founds the fleet, runs each controller until its"
            " restart, and is what machines speak.",
        ),
    ] = None,
    controller_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Percent of a processor that each controller gets, by control groups, as root;"
            " 0 for whatever there is.",
        ),
    ] = 0.0,
    pressing: Annotated[
        bool,
        typer.Option("--pressing", help="Each machine again as soon as it was answered."),
    ] = False,
    watching: Annotated[
        bool,
        typer.Option("--watching", help="Each machine has its watch open, as agents do."),
    ] = False,
    output: OutputFormat = "table",
) -> None:
    """Be a fleet: forged machines that join a controller of their own, attest, reboot, are updated,
    tampered with and late, over real gRPC and TLS. Exit code 6 where one was late that should not
    be, an error came, or a tampered one was trusted.
    """
    from framegate_operator.output import seconds_of
    from framegate_simulators.fleet.plan import Plan, Shares
    from framegate_simulators.fleet.report import lines
    from framegate_simulators.fleet.run import MOST_KEPT, run_fleet, wrong

    with errors():
        plan = Plan(
            devices=devices,
            interval_s=interval,
            seconds=seconds_of(lasting),
            workers=min(workers, devices),
            seed=seed,
            keep=watching or devices <= MOST_KEPT,
            shares=Shares.parse(shares),
            controllers=controllers,
            database=store == "postgres",
            rolling=rolling,
            before=str(before.resolve()) if before else "",
            share=controller_share,
            pressing=pressing,
            watching=watching,
        )
        try:
            result = run_fleet(plan, lambda text: typer.echo(text, err=True))
        except RuntimeError as error:  # a PlantError, or PostgreSQL is not installed
            raise Unavailable.of(Reason.UNAVAILABLE, "a fleet that runs", str(error)) from error
    problems = wrong(result)
    typer.echo(json.dumps(result, indent=1) if output == "json" else "\n".join(lines(result)))
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(6)
