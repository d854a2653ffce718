"""The commands that look at settings: config check, config show."""

# annotations are evaluated where they stand: one of them is made for each program

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from framegate.redaction import redacted
from framegate_host.console import (
    EXIT_USAGE,
    OutputFormat,
    Terminal,
    safe,
    show_failures,
    show_json,
    talk,
    whole,
)
from framegate_host.setting_flags import config_option
from framegate_host.setting_records import Declared, Place, Settings, declared
from framegate_host.setting_values import toml_of
from framegate_host.settings import Given, Resolved, resolve


def config_commands(record: type[Settings]) -> typer.Typer:
    """`check` and `show` for the settings of a program."""
    app = typer.Typer(no_args_is_help=True, help="Settings: look a file over, show what holds.")

    @app.command()
    def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML.")]) -> None:
        """Look a file of settings over, by itself, and say everything that is wrong with it.

        Exit code 2 where something is.
        """
        resolved = resolve(record, Given(file))
        problems = resolved.problems
        if problems:
            show_failures(problems)
            talk.print(f"{safe(file)}: [red]{_count(len(problems), 'problem')}[/]")
            raise typer.Exit(EXIT_USAGE)
        given = [each for each in resolved.values.values() if each.origin.place is Place.FILE]
        talk.print(f"{safe(file)}: [green]{_count(len(given), 'setting')}, nothing wrong[/]")
        if lacking := ", ".join(one.flag for one in resolved.missing):
            talk.print(f"still needed, from flags or the environment: {lacking}")

    @app.command()
    def show(
        file: Annotated[Path | None, config_option(record)] = None,
        output: OutputFormat = "table",
    ) -> None:
        """Show what holds, by file and environment, and where each value comes from."""
        resolved = resolve(record, Given(file, os.environ))
        if output == "json":
            show_json(settings_json(resolved))
        else:
            _print(resolved)
        if problems := resolved.problems:
            show_failures(problems)
            raise typer.Exit(EXIT_USAGE)

    return app


def settings_json(resolved: Resolved[Any]) -> dict[str, Any]:
    """Each setting as JSON has it, with where it comes from; credentials of addresses left out."""
    body: dict[str, Any] = {one.name: None for one in resolved.missing}
    for name, effective in resolved.values.items():
        value, origin = effective.value, effective.origin
        body[name] = {"value": _plain(value), "from": origin.place.value, "name": origin.name}
    return body


def _plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, str | Path):
        return redacted(str(value))
    return value


def _print(resolved: Resolved[Any]) -> None:
    table = Table("setting", "value", "from", box=None)
    for one in declared(resolved.record).values():
        table.add_row(one.name, *_cells(one, resolved))
    Terminal(highlight=False).print(whole(table))


def _cells(one: Declared, resolved: Resolved[Any]) -> tuple[str, str]:
    effective = resolved.values.get(one.name)
    if effective is None:
        return "[yellow]has to be given[/]", ""
    empty = effective.value in (None, "", ())
    value = "[dim]none[/]" if empty else safe(toml_of(effective.value))
    return value, safe(effective.origin)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
