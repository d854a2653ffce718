"""framegate-controller: make a fleet, run its controller, and what only its own host may do. A
command's module is imported when the command is used: most need no server.
"""

from __future__ import annotations

import sys
from types import MappingProxyType

import typer

from framegate_controller.settings import ControllerSettings
from framegate_host.command_modules import CommandAt, CommandsByModule
from framegate_host.program import run_program
from framegate_host.setting_commands import config_commands
from framegate_host.support import support_command

_COMMANDS = "framegate_controller.commands"


class _Commands(CommandsByModule):
    MODULES = MappingProxyType(
        {
            "init": CommandAt(f"{_COMMANDS}.found", "init"),
            "break-glass": CommandAt(f"{_COMMANDS}.recovery", "break_glass"),
            "recover-operator": CommandAt(f"{_COMMANDS}.recovery", "recover_operator"),
            "backup": CommandAt(f"{_COMMANDS}.backups", "backup"),
            "restore": CommandAt(f"{_COMMANDS}.backups", "restore"),
            "upgrade": CommandAt(f"{_COMMANDS}.upgrade", "upgrade"),
            "server-certificate": CommandAt(f"{_COMMANDS}.certificates", "server_certificate"),
            "line-certificate": CommandAt(f"{_COMMANDS}.certificates", "line_certificate"),
            "enforcer-certificate": CommandAt(f"{_COMMANDS}.certificates", "enforcer_certificate"),
            "profile": CommandAt(f"{_COMMANDS}.profiles", "profiles"),
            "store": CommandAt(f"{_COMMANDS}.store", "stores"),
            "add-controller": CommandAt(f"{_COMMANDS}.controllers", "add_controller"),
            "run": CommandAt(f"{_COMMANDS}.run", "run"),
        }
    )


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    help="The Framegate controller: verifier, registrar and certificate authority of a fleet.",
)
app.add_typer(config_commands(ControllerSettings), name="config")
app.command("support")(support_command(ControllerSettings))


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-controller"))
