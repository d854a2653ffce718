"""framegate: the operator's command line. A verb's module is imported when the verb is used: a read
over a thousand machines is mostly start-up.
"""

from __future__ import annotations

import itertools
import sys
from types import MappingProxyType
from typing import Any, Final

import typer

from framegate_host.command_modules import CommandAt, CommandsByModule
from framegate_host.program import run_program
from framegate_operator.output import data

_LEFT: Final = (
    (
        "see",
        {
            "status": "one screen, what is next",
            "fleet": "how many stand where",
            "top": "the fleet, live",
            "events": "what happened",
            "camera": "invite, look, steer",
            "gateway": "the same for hosts",
            "zone": "rules, freezing",
            "verdict": "what the model said",
            "why": "verdict or machine",
            "doctor": "what is wrong, or ends",
            "assess": "where the fleet stands",
            "goals": "what is to be reached",
        },
    ),
    (
        "sign in, give rights",
        {
            "login": "and logout, whoami",
            "operator": "people and roles",
            "access": "for a while; approve",
            "auth": "who may do what",
            "policy": "the rules (Cedar)",
            "segment": "zones and conduits",
            "map": "who speaks with whom",
        },
    ),
    (
        "frames and privacy",
        {
            "mask": "never shown to anyone",
            "data": "what is kept; erase",
            "frame": "take one out",
            "dataset": "take many out",
        },
    ),
)
_RIGHT: Final = (
    (
        "bring in machines",
        {
            "trust": "TPM makers",
            "profile": "what they must be",
            "rollout": "updates, in waves",
            "replay": "a profile on the past",
            "maintenance": "being worked on",
        },
    ),
    (
        "inspect, prove, respond",
        {
            "model": "sign, approve, promote",
            "part": "golden images, rules",
            "lineage": "what is behind it",
            "audit": "the record, verified",
            "log": "decisions, cosigned",
            "witness": "who cosigns them",
            "receipt": "proofs of verdicts",
            "result": "attestation results",
            "evidence": "quotes, logs, files",
            "incident": "found, looked into",
            "playbook": "what happens by itself",
            "kpi": "how soon, by the record",
            "siem": "copies of the record",
        },
    ),
    (
        "care for the fleet",
        {
            "pilot": "judge, divert nothing",
            "ca": "authorities, rotation",
            "broker": "MQTT access list",
            "context": "several fleets",
            "site": "other fleets that count",
            "compliance": "evidence for auditors",
            "review": "what a quarter brought",
        },
    ),
)
"""What people want, and the verbs for it, in two columns."""

_MODULES: Final = MappingProxyType(
    {
        "access": ("access_requests", "app"),
        "assess": ("assess", "assess"),
        "audit": ("audit", "app"),
        "auth": ("permissions", "app"),
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
        columns = []
        for side in (_LEFT, _RIGHT):
            lines = []
            for title, names in side:
                lines.append(f"[bold]{title:<39}[/]")
                lines += [f"  [cyan]{name:<12}[/]{summary:<25}" for name, summary in names.items()]
            columns.append(lines)
        blank = " " * 39
        for left, right in itertools.zip_longest(*columns, fillvalue=blank):
            data.print(left + right.rstrip(), highlight=False)
        data.print(
            "[dim]VERB --help: more. Reads: -o json, --watch. Changes: --dry-run, --reason,"
            " --wait[/]"
        )


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
