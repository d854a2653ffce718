"""framegate-models: bundles, and the images they are trained on, outside the attested process."""

from __future__ import annotations

import sys

import typer

from framegate_host.program import run_program
from framegate_models.commands import data, models
from framegate_models.evaluate_command import evaluate
from framegate_models.import_command import import_network
from framegate_models.learn_command import learn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Framegate's models: what a bundle is and does, training, import, who vouches for images.",
)
app.command("import")(import_network)
app.command("learn")(learn)
app.command("evaluate")(evaluate)
app.add_typer(models, name="model")
app.add_typer(data, name="data")


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-models"))
