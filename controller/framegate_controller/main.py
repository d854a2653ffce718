"""framegate-controller: make a fleet, run its controller, and what only its own host may do."""

from __future__ import annotations

import sys

import typer

from framegate_controller.commands.backups import backup, restore
from framegate_controller.commands.certificates import (
    enforcer_certificate,
    line_certificate,
    server_certificate,
)
from framegate_controller.commands.controllers import add_controller
from framegate_controller.commands.found import init
from framegate_controller.commands.profiles import profiles
from framegate_controller.commands.recovery import break_glass, recover_operator
from framegate_controller.commands.run import run
from framegate_controller.commands.store import stores
from framegate_controller.commands.upgrade import upgrade
from framegate_controller.settings import ControllerSettings
from framegate_host.program import run_program
from framegate_host.setting_commands import config_commands
from framegate_host.support import support_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The Framegate controller: verifier, registrar and certificate authority of a fleet.",
)
app.command()(init)
app.command("break-glass")(break_glass)
app.command("recover-operator")(recover_operator)
app.command()(backup)
app.command()(restore)
app.command()(upgrade)
app.command("server-certificate")(server_certificate)
app.command("line-certificate")(line_certificate)
app.command("enforcer-certificate")(enforcer_certificate)
app.add_typer(profiles, name="profile")
app.add_typer(stores, name="store")
app.command("add-controller")(add_controller)
app.command()(run)
app.add_typer(config_commands(ControllerSettings), name="config")
app.command("support")(support_command(ControllerSettings))


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-controller"))
