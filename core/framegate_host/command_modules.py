"""Commands that are imported when they are used: a short command is mostly start-up, and a program
with a database, a server and a web client has much to import that most of its commands never touch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup

from framegate_host.program import show_brackets
from framegate_host.start_imports import import_to_stay


class CommandAt(NamedTuple):
    """Where a command is: a module, and the name in it of a group or of the command itself."""

    module: str
    attribute: str


class CommandsByModule(TyperGroup):
    """A group whose commands are `MODULES`, in that order, and behind them what was registered."""

    MODULES: ClassVar[Mapping[str, CommandAt]]

    def list_commands(self, ctx: Any) -> list[str]:
        """All of them."""
        return [*self.MODULES, *(name for name in self.commands if name not in self.MODULES)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None; its module is imported now."""
        if cmd_name in self.MODULES and cmd_name not in self.commands:
            at = self.MODULES[cmd_name]
            registered = getattr(import_to_stay(at.module), at.attribute)
            self.commands[cmd_name] = _command(registered, cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """What is to be run: imported now, its help texts as they are to be read."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name in self.MODULES:
            show_brackets(command)
        return name, command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it, with the first sentence of every command: all modules are imported."""
        for name in self.MODULES:
            show_brackets(self.get_command(ctx, name))
        super().format_help(ctx, formatter)


def _command(registered: Any, name: str) -> Any:
    if isinstance(registered, typer.Typer):
        command: Any = typer.main.get_group(registered)
    else:
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name)(registered)
        command = typer.main.get_command(single)
    command.name = name
    return command
