"""framegate: the operator's command line. A verb's module is imported when the verb is used: a read
over a thousand machines is mostly start-up.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import typer

from framegate_host.command_modules import CommandAt, CommandsByModule
from framegate_host.program import run_program
from framegate_operator.output import data

_COLUMNS: Final = (
    {
        "see": {
            "status": "what is next",
            "fleet": "who stands",
            "top": "it, live",
            "events": "what happened",
            "camera": "invite, steer",
            "gateway": "the same",
            "zone": "rules, freeze",
            "map": "who with whom",
            "verdict": "what it said",
            "why": "in words",
            "doctor": "what is wrong",
            "assess": "how we stand",
            "goals": "to be reached",
        },
        "sign in, give rights": {
            "login": "and logout",
            "operator": "people, roles",
            "access": "ask, approve",
            "auth": "who may what",
            "policy": "Cedar's rules",
            "segment": "zones, ways",
        },
    },
    {
        "bring in machines": {
            "backend": "model hosts",
            "trust": "TPM makers",
            "profile": "how they boot",
            "rollout": "updates",
            "replay": "on the past",
            "maintenance": "worked on",
        },
        "frames and privacy": {
            "mask": "never shown",
            "data": "kept; erase",
            "frame": "take one out",
            "dataset": "take many out",
        },
        "care for the fleet": {
            "pilot": "diverts none",
            "ca": "authorities",
            "broker": "access list",
            "context": "our fleets",
            "site": "other fleets",
            "release": "ours, logged",
            "compliance": "for auditors",
            "review": "a quarter",
        },
    },
    {
        "inspect and prove": {
            "model": "sign, promote",
            "part": "golden, rules",
            "lineage": "what's behind",
            "receipt": "proofs",
            "result": "attestation's",
            "evidence": "quotes, logs",
            "audit": "the record",
            "log": "decisions",
            "witness": "who cosigns",
        },
        "respond": {
            "incident": "look into it",
            "playbook": "by itself",
            "kpi": "how soon",
            "siem": "copies",
        },
    },
)
"""What people want, and the verbs for it, in three columns of 26 characters."""

_MODULES: Final = MappingProxyType(
    {
        "access": ("access_requests", "app"),
        "assess": ("assess", "assess"),
        "audit": ("audit", "app"),
        "auth": ("permissions", "app"),
        "backend": ("devices", "backends"),
        "broker": ("broker", "app"),
        "ca": ("zones", "ca"),
        "camera": ("devices", "cameras"),
        "compliance": ("compliance", "app"),
        "context": ("contexts", "app"),
        "data": ("vault", "vault"),
        "dataset": ("vault", "datasets"),
        "doctor": ("doctor", "doctor"),
        "events": ("fleet", "events"),
        "evidence": ("evidence", "app"),
        "fleet": ("fleet", "fleet"),
        "frame": ("vault", "frames"),
        "gateway": ("gateways", "app"),
        "goals": ("goals", "app"),
        "incident": ("incidents", "app"),
        "kpi": ("kpis", "kpi"),
        "lineage": ("lineage", "app"),
        "log": ("decision_log", "app"),
        "login": ("signin", "login"),
        "logout": ("signin", "logout"),
        "maintenance": ("zones", "maintenance"),
        "map": ("site_maps", "map_"),
        "mask": ("masks", "app"),
        "model": ("models", "app"),
        "operator": ("people", "app"),
        "part": ("parts", "app"),
        "pilot": ("pilots", "app"),
        "playbook": ("playbooks", "app"),
        "policy": ("policies", "app"),
        "profile": ("profiles", "app"),
        "receipt": ("receipts", "app"),
        "release": ("release", "app"),
        "replay": ("rollouts", "replay"),
        "result": ("results", "app"),
        "review": ("quarter", "review_"),
        "rollout": ("rollouts", "app"),
        "siem": ("siem", "app"),
        "segment": ("segments", "app"),
        "site": ("sites", "app"),
        "status": ("status", "status"),
        "top": ("top", "top"),
        "trust": ("fleet", "trust"),
        "verdict": ("verdicts", "app"),
        "witness": ("witnesses", "app"),
        "whoami": ("signin", "whoami"),
        "why": ("why", "why"),
        "zone": ("zones", "zones"),
    }
)
"""Verb to module and name in it: a group of commands, or the command itself."""


class Verbs(CommandsByModule):
    """Verbs by what people want, each imported when it is used; a help text that fits a screen of
    80 by 24.
    """

    MODULES = MappingProxyType(
        {
            verb: CommandAt(f"framegate_operator.{module}", name)
            for verb, (module, name) in _MODULES.items()
        }
    )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class; `--sites` is short for `site status`."""
        if args[:1] == ["--sites"]:
            args = ["site", "status", *args[1:]]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb, or None."""
        fresh = cmd_name not in self.commands
        command = super().get_command(ctx, cmd_name)
        if fresh and command is not None:
            _unwrap(command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        data.print(
            "Usage: [bold]framegate VERB …[/]   only cameras that prove themselves reach the model"
        )
        columns = [list(_lines(column)) for column in _COLUMNS]
        blank = " " * _WIDTH
        for row in itertools.zip_longest(*columns, fillvalue=blank):
            data.print(" ".join(row).rstrip(), highlight=False)
        data.print(
            "[dim]VERB --help: more. Reads: -o json, --watch. Changes: --dry-run, --reason,"
            " --wait[/]"
        )


_WIDTH: Final = 26


def _lines(column: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for title, verbs in column.items():
        yield f"[bold]{title:<{_WIDTH}}[/]"
        for name, summary in verbs.items():
            yield f" [cyan]{name:<12}[/]{summary:<{_WIDTH - 13}}"


def _unwrap(command: Any) -> None:
    """A docstring's lines end where the source's do, a help text's where the terminal's do."""
    command.help = (command.help or "").replace("\n", " ").strip() or None
    for each in getattr(command, "commands", {}).values():
        _unwrap(each)


app = typer.Typer(
    no_args_is_help=True,
    cls=Verbs,
    help="Framegate: only cameras that prove themselves reach the model, and only then.",
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Framegate: only cameras that prove themselves reach the model, and only then."""


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate"))
