"""`framegate policy status` and `update`: verbs that a policy was written too early for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.access.policy import SCHEMA, PolicySet, parse_policy
from framegate.access.schema import updated_schema
from framegate_host.console import EXIT_FAILED, show_json, talk
from framegate_operator.connection import load_context
from framegate_operator.options import Context, Output, read
from framegate_operator.output import errors, show_table
from framegate_operator.policy_files import fetch_policy, read_folder, write_folder

UPDATING = (
    "framegate policy pull --out DIR; framegate policy update DIR; framegate policy apply DIR"
)
"""What adds the verbs that the policy in force lacks."""


@read
def status(output: Output = "table", context: Context = None) -> None:
    """The policy in force, and verbs of this version that it was written too early for: they are
    denied to everybody. Exit code 1 where there are any.
    """
    with errors():
        policy = fetch_policy(load_context(context))
        if output == "json":
            show_json(
                {
                    "version": policy.version,
                    "sha256": policy.sha256.hex(),
                    "policies": len(policy.effects),
                    "missing": list(policy.missing),
                }
            )
        else:
            rows = [
                ("in force", policy.label),
                ("policies", len(policy.effects)),
                ("verbs missing", ", ".join(policy.missing) or "none"),
            ]
            show_table(("", ""), rows, empty="")
            tell_missing(policy, UPDATING)
    if policy.missing:
        raise typer.Exit(EXIT_FAILED)


def update(
    folder: Annotated[Path, typer.Argument(help=f"A folder with {SCHEMA} and .cedar files.")],
) -> None:
    """Add the verbs of this version that a folder's schema lacks; rules stay as they are. Needs no
    controller.
    """
    with errors():
        files = read_folder(folder)
        policy = parse_policy(files)
        schema = updated_schema(files[SCHEMA], policy.actions)
        if schema == files[SCHEMA].rstrip("\n") + "\n":
            talk.print("nothing to add: the schema has every verb of this version")
            return
        whole = {**files, SCHEMA: schema}
        if left := parse_policy(whole).missing:
            raise RuntimeError(f"verbs that were not added: {left}")
        write_folder(folder, {SCHEMA: whole[SCHEMA]})
        talk.print(
            f"{folder / SCHEMA}: added {', '.join(policy.missing) or 'that playbooks may ask'}; "
            f"next: framegate policy apply {folder}"
        )


def tell_missing(policy: PolicySet, next_: str) -> None:
    """Say what a policy denies because it was written too early."""
    if policy.missing:
        talk.print(
            f"[yellow]without {', '.join(policy.missing)}: denied to everybody[/]; next: {next_}"
        )
