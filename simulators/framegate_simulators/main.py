"""framegate-sim: simulated machines, cameras and boards."""

import typer

app = typer.Typer(no_args_is_help=True)


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-sim")
