"""framegate-models: bundles, and the images they are trained on, outside the attested process."""

from __future__ import annotations

import typer

from framegate_models.commands import data, models

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Framegate's models: what a bundle is and does, training, who vouches for the images.",
)
app.add_typer(models, name="model")
app.add_typer(data, name="data")


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-models")
