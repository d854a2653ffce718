"""`framegate policy status`: verbs that a policy was written too early for."""

from __future__ import annotations

import typer

from framegate.access.policy import PolicySet
from framegate_host.console import EXIT_FAILED, show_json, talk
from framegate_operator.connection import load_context
from framegate_operator.options import Context, Output, read
from framegate_operator.output import errors, show_table
from framegate_operator.policy_files import fetch_policy

UPDATING = "framegate policy update --wait"
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


def tell_missing(policy: PolicySet, next_: str) -> None:
    """Say what a policy denies because it was written too early."""
    if policy.missing:
        talk.print(
            f"[yellow]without {', '.join(policy.missing)}: denied to everybody[/]; next: {next_}"
        )
