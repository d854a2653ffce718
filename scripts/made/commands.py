"""The programs' commands, as the programs themselves declare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import click
import typer

PROGRAMS: Final = MappingProxyType(
    {
        "framegate": "framegate_operator.main",
        "framegate-controller": "framegate_controller.main",
        "framegate-agent": "framegate_agent.main",
        "framegate-gateway": "framegate_gateway.main",
        "framegate-models": "framegate_models.main",
        "framegate-line": "framegate_line.main",
        "framegate-segment": "framegate_segment.main",
        "framegate-console": "framegate_console.main",
        "framegate-sim": "framegate_simulators.main",
    }
)
"""Every program and the module that has its `app`."""
HANDED_OVER: Final = MappingProxyType(
    {
        "framegate-gateway model": "framegate-models model",
        "framegate-gateway data": "framegate-models data",
    }
)
"""Commands whose words are another program's."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command or group: its path, such as `framegate camera list`, help, parameters, and what
    is below it.
    """

    path: str
    help: str
    parameters: tuple[Any, ...]
    below: MappingProxyType[str, Command] = field(default_factory=lambda: MappingProxyType({}))

    def leaves(self) -> Iterator[Command]:
        """Every command at or below this one that does something."""
        if not self.below:
            yield self
        for command in self.below.values():
            yield from command.leaves()

    @property
    def options(self) -> set[str]:
        """Every option's spelling, `--help` among them."""
        known = {o for p in self.parameters for o in (*p.opts, *p.secondary_opts)}
        return {o for o in known if o.startswith("-")} | {"--help"}


@cache
def programs() -> MappingProxyType[str, Command]:
    """Every program by its name."""
    return MappingProxyType(
        {
            name: _read(typer.main.get_command(import_module(m).app), name)
            for name, m in PROGRAMS.items()
        }
    )


def _read(command: Any, path: str) -> Command:
    below: dict[str, Command] = {}
    if hasattr(command, "list_commands"):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            below[name] = _read(command.get_command(context, name), f"{path} {name}")
    shown = tuple(p for p in command.params if not getattr(p, "hidden", False))
    return Command(path, (command.help or "").strip(), shown, MappingProxyType(below))
