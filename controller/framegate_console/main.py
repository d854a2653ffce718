"""framegate-console: serve the web console."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import typer

from framegate.errors import Reason
from framegate_console.server import serve
from framegate_console.settings import ConsoleSettings
from framegate_host import console
from framegate_host.console import service_exit_code
from framegate_host.logs import start_logging
from framegate_host.mapped_text import let_go_of_text
from framegate_host.process_memory import hide_memory
from framegate_host.program import run_program
from framegate_host.rereading import Rereader
from framegate_host.setting_commands import config_commands
from framegate_host.setting_flags import with_settings
from framegate_host.signals import run_service
from framegate_host.support import support_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=(
        "The web console: shows people in a browser what they may see, and does what they may do. "
        "It holds no key of the fleet."
    ),
)
app.add_typer(config_commands(ConsoleSettings), name="config")
app.command("support")(support_command(ConsoleSettings))


def errors() -> AbstractContextManager[None]:
    """Errors as sentences on standard error and as exit codes."""
    return console.errors(service_exit_code(Reason.USAGE))


@app.command()
@with_settings(ConsoleSettings)
def run(settings: ConsoleSettings, reader: Rereader) -> None:
    """Serve the console to browsers."""
    start_logging(verbose=settings.verbose)
    with errors():
        # before the memory is hidden: what is mapped is root's to read from then on
        let_go_of_text()
        hide_memory()
        run_service(serve(settings, reader))


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-console"))
