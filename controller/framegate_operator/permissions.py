"""`framegate auth …`: who may do what, by the policy in force."""

from __future__ import annotations

from typing import Annotated

import typer

from framegate.access.policy import PolicySet
from framegate.access.questions import verb_request
from framegate.access.verbs import Role, verbs
from framegate_host.console import EXIT_DENIED, safe, show_json
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import data, errors, failure_json, show_table
from framegate_operator.policy_files import fetch_policy
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Who may do what.")


@app.command("can-i")
def can_i(
    verb: Annotated[
        str, typer.Argument(help="For instance device.invite; framegate auth table lists them.")
    ],
    resource: Annotated[str, typer.Argument(help="A zone.")] = "",
    target: Annotated[
        str, typer.Option(help="What exactly, where a policy asks: a device, a profile.")
    ] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Whether you may do something now, and which policies say so. Exit code 4 where not."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.CanI(pb.CanIRequest(verb=verb, zone=resource, target=target))
        if output == "json":
            show_json(
                {
                    "allow": reply.allow,
                    "policies": list(reply.policies),
                    "policy": reply.policy,
                    "failures": [failure_json(f) for f in reply.failures],
                }
            )
        elif reply.allow:
            data.print(f"yes, by {', '.join(map(safe, reply.policies))} ({safe(reply.policy)})")
        else:
            for f in reply.failures:
                hint = f"; {safe(f.hint)}" if f.hint else ""
                data.print(
                    f"no: {safe(f.reason)}: expected {safe(f.expected)}, {safe(f.actual)}{hint}"
                )
        if not reply.allow:
            raise typer.Exit(EXIT_DENIED)


@app.command("table")
@read
def table(output: Output = "table", context: Context = None) -> None:
    """Every verb and role, by the policy in force: yes, 2 (somebody else must approve), no."""
    with errors():
        permissions = role_table(fetch_policy(load_context(context)))
        if output == "json":
            show_json(permissions)
            return
        rows = [
            (
                verb,
                *(permissions[verb][role] for role in Role),
                ", ".join(g for g in verbs()[verb].groups if g in {"fresh", "change"}),
                verbs()[verb].summary,
            )
            for verb in permissions
        ]
        show_table(("verb", *Role, "", ""), rows, empty="")


def role_table(policy: PolicySet) -> dict[str, dict[str, str]]:
    """verb to role to yes, 2 or no, where the quorum is two, the factor fresh and nothing
    frozen.
    """
    out: dict[str, dict[str, str]] = {}
    for name, verb in verbs().items():
        out[name] = {}
        for role in Role:
            asked = [
                policy.decide(
                    verb_request(
                        verb,
                        operator="somebody",
                        roles=(role,),
                        zone="some-zone",
                        frozen=False,
                        fleet="fleet",
                        approvals=n,
                        quorum=2,
                        factor_age_s=0,
                        source="ipv4:192.0.2.1:1",
                    )
                )
                for n in (0, 1)
            ]
            out[name][role] = "yes" if asked[0].allow else "2" if asked[1].allow else "no"
    return out
