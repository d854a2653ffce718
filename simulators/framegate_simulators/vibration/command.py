"""`framegate-sim sensor`: a simulated sensor as a capture program."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def sensor(  # noqa: PLR0913 - a command's options
    motor: Annotated[int, typer.Option(min=0, help="Number of the drawn motor.")] = 1,
    shaft: Annotated[float, typer.Option(min=1, help="Turns of its shaft a second.")] = 29.0,
    fault: Annotated[
        str, typer.Option(help="healthy, imbalance, looseness, outer-race or inner-race.")
    ] = "healthy",
    severity: Annotated[float, typer.Option(min=0, max=1, help="How far gone it is.")] = 0.7,
    faulty_from: Annotated[int, typer.Option(min=0, help="Sound before this window.")] = 0,
    trouble: Annotated[
        str,
        typer.Option(
            help="What is wrong with the sensor itself: clipped, flat, dropout, wrong-rate, gap,"
            " replayed, picture; default: nothing."
        ),
    ] = "",
    rate: Annotated[float, typer.Option(min=0.1, max=2, help="Windows a second.")] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="How many; 0 = endless.")] = 0,
) -> None:
    """Be a capture child: write windows of a motor's drawn vibration and current to standard
    output. Use: framegate-agent run --source 'exec:framegate-sim sensor'.
    """
    from framegate_simulators.vibration.machine_signal import CLASSES
    from framegate_simulators.vibration.sensor import TROUBLES, Sensor, write_windows

    if fault not in CLASSES or trouble not in TROUBLES:
        wanted = f"{', '.join(CLASSES)}; a trouble of {', '.join(TROUBLES[1:])}"
        raise typer.BadParameter(f"expected {wanted}, got {fault!a} and {trouble!a}")
    if sys.stdout.isatty():
        raise typer.BadParameter(
            "this writes windows for an agent; run: framegate-agent run --source"
            " 'exec:framegate-sim sensor'"
        )
    drawn = Sensor(motor, shaft, fault, severity, faulty_from, trouble)
    try:
        write_windows(drawn, sys.stdout.buffer, rate=rate, count=count)
    except (BrokenPipeError, KeyboardInterrupt):
        raise typer.Exit(0) from None
