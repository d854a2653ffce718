"""`framegate audit rules`, `framegate audit behaviour`: the rules over what people do, and what
they say of an export; neither asks anybody.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from framegate.behaviour.deed import parse_sites
from framegate.behaviour.finding import Finding
from framegate.behaviour.rules import RULES
from framegate.behaviour.sigma import sigma_rules, yaml_of
from framegate.behaviour.watch import replayed
from framegate.errors import Malformed, Reason
from framegate.identity.certificates import from_ms
from framegate_host.console import safe, show_json
from framegate_host.printing import show_text
from framegate_host.private_files import public_folder, write_public
from framegate_operator.options import Output
from framegate_operator.output import errors, show_table


def rules(
    output: Annotated[
        Literal["table", "json", "sigma"],
        typer.Option("--output", "-o", help="Also as Sigma rules with correlations, in YAML."),
    ] = "table",
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="With -o sigma: a folder for a file for each rule."),
    ] = None,
) -> None:
    """The rules that the controller holds the record against."""
    with errors():
        if output == "sigma":
            _sigma(out)
        elif output == "json":
            show_json([{**asdict(rule), "severity": rule.severity.name} for rule in RULES.values()])
        else:
            rows = [(r.name, r.severity.name.lower(), r.title) for r in RULES.values()]
            show_table(("rule", "severity", "what it notices"), rows, empty="none")


def _sigma(out: Path | None) -> None:
    documents = sigma_rules()
    if out is None:
        every = [document for each in documents.values() for document in each]
        show_text(yaml_of(every), end="")
        return
    public_folder(out)
    for name, each in documents.items():
        write_public(out / f"{name}.yml", yaml_of(each).encode())
        show_text(out / f"{name}.yml")


def behaviour(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="An export: framegate audit export.")
    ],
    site: Annotated[
        list[str] | None,
        typer.Option(help="A site and a network of it, NAME=NETWORK; may be repeated."),
    ] = None,
    output: Output = "table",
) -> None:
    """What the rules say of an export, from its first entry on, offline. It does not verify the
    export: framegate audit verify.
    """
    with errors():
        try:
            sites = parse_sites(tuple(site or ()))
        except ValueError as error:
            wanted = "--site NAME=NETWORK"
            raise Malformed.of(Reason.USAGE, wanted, error, "--site north=10.1.0.0/16") from error
        findings = replayed(_entries(file), sites=sites)
        if output == "json":
            show_json([asdict(finding) for finding in findings])
            return
        titles = ("when (UTC)", "rule", "severity", "who", "what", "entries")
        show_table(titles, [_cells(f) for f in findings], empty="no rule was met")


def _entries(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Index and body of every entry of an export. Raises Malformed."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                body = json.loads(line)
            except (ValueError, RecursionError) as error:
                wanted, hint = "a line of JSON", f"framegate audit verify {shlex.quote(str(file))}"
                raise Malformed.of(Reason.AUDIT, wanted, f"line {number}", hint) from error
            if isinstance(body, dict) and type(body.get("index")) is int:
                yield body["index"], body


def _cells(finding: Finding) -> tuple[str, ...]:
    rule = RULES[finding.rule]
    entries = f"{finding.last}"
    if finding.first != finding.last:
        entries = f"{finding.first}-{finding.last}"
    return (
        f"{from_ms(finding.at_ms):%F %H:%M}",
        rule.name.value,
        rule.severity.name.lower(),
        safe(finding.person),
        safe(finding.what),
        entries,
    )
