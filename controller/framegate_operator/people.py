"""`framegate operator …`, `access …`, `auth …`: who there is, who may do what, and on whose
word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.policy import PolicySet
from framegate.access.questions import verb_request
from framegate.access.verbs import FLEET_WIDE, Role, verbs
from framegate_host.console import EXIT_DENIED, safe, show_json, talk
from framegate_host.operator_context import context_body
from framegate_host.private_files import write_private
from framegate_operator.connection import load_context, operator_stub, sign_in_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, data, errors, failure_json, seconds_of, show_table, until
from framegate_operator.policies import fetch_policy
from framegate_proto.v1 import framegate_pb2 as pb

operators = typer.Typer(no_args_is_help=True, help="People: add, list, disable, give roles.")
access = typer.Typer(
    no_args_is_help=True, help="Roles for a while, and approvals by somebody else."
)
auth = typer.Typer(no_args_is_help=True, help="Who may do what.")
Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        help=(
            f"{', '.join(r for r in Role if r != Role.ADMIN)}; with @ZONE for one zone; may be"
            " repeated."
        ),
    ),
]
NameArgument = Annotated[str, typer.Argument(help="The operator's name or a unique prefix.")]


@operators.command("add")
@write
def add(  # noqa: PLR0913 - a command's options
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and '-'.")],
    role: Roles,
    words: Annotated[str, typer.Option(help="Who that is: a full name.")] = "",
    oidc_subject: Annotated[
        str, typer.Option(help="They sign in at the provider, which knows them by this subject.")
    ] = "",
    oidc_issuer: Annotated[str, typer.Option(help="The provider; default: the controller's.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write their context file here; default: NAME.json")
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Add a person. They set password and second factor themselves, with a code that is good for a
    day.
    """
    with errors():
        found = load_context(context)
        issuer = oidc_issuer
        if oidc_subject and not issuer:
            with sign_in_stub(found) as stub:
                issuer = stub.Methods(pb.SignInMethodsRequest()).oidc_issuer
        with operator_stub(found) as stub:
            reply = stub.AddOperator(
                pb.AddOperatorRequest(
                    name=name,
                    words=words,
                    roles=role,
                    oidc_issuer=issuer,
                    oidc_subject=oidc_subject,
                )
            )
        _give(reply, found, out, output)


def _give(reply: pb.OperatorReply, found: OperatorContext, out: Path | None, output: str) -> None:
    person = reply.operator
    path = out or Path(f"{person.name}.json")
    root = x509.load_der_x509_certificate(reply.root).public_bytes(Encoding.PEM).decode()
    write_private(
        path,
        json.dumps(
            context_body(reply.join_address, reply.fleet_address, reply.server_name, root)
        ).encode(),
    )
    if output == "json":
        show_json({**_person(person), "enrolment": reply.enrolment, "context": str(path)})
        return
    talk.print(
        f"{safe(person.name)}: {', '.join(person.roles) or 'no role'}; their context file: {path}"
    )
    if reply.enrolment:
        talk.print(
            "give them the file and this code, good for a day; they run: framegate context add"
            f" NAME {path}; framegate login {person.name} --enrol"
        )
        print(reply.enrolment)
    else:
        talk.print(f"they run: framegate context add NAME {path}; framegate login --oidc")
    del found


@operators.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Everybody, with roles and factors."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ListOperators(pb.ListRequest())
        if output == "json":
            show_json({"quorum": reply.quorum, "operators": [_person(p) for p in reply.operators]})
            return
        rows = [
            (
                p.name,
                p.words,
                "enabled" if p.enabled else "DISABLED",
                ", ".join(
                    [*p.roles, *(e.split(" until ")[0] + " for a while" for e in p.elevations)]
                )
                or "none",
                ", ".join(p.factors) or "not enrolled",
                p.sessions or "",
                ago(p.seen_ms),
                p.added_by,
            )
            for p in reply.operators
        ]
        show_table(
            ("name", "who", "", "roles", "factors", "sessions", "last seen", "added by"),
            rows,
            empty="nobody",
        )
        talk.print(
            f"quorum {reply.quorum}: a dangerous decision takes {reply.quorum}"
            f" {'people' if reply.quorum > 1 else 'person'}"
        )


@operators.command("disable")
@write
def disable(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Bar a person at once: sessions end everywhere, approvals count no more."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            person = stub.DisableOperator(
                pb.DisableOperatorRequest(name=name, reason=reason)
            ).operator
        _told(person, f"{safe(person.name)} is disabled", output)


@operators.command("enable")
@write
def enable(name: NameArgument, output: Output = "table", context: Context = None) -> None:
    """Let a person in again."""
    _change(name, "enable", [], output, context)


@operators.command("roles")
@write
def roles(
    name: NameArgument, role: Roles, output: Output = "table", context: Context = None
) -> None:
    """Give a person other standing roles in the place of those they have."""
    _change(name, "roles", role, output, context)


@operators.command("reset-mfa")
@write
def reset_mfa(
    name: NameArgument,
    out: Annotated[Path | None, typer.Option(help="Write their context file here.")] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Forget a person's factors; they set new ones with the code that is shown."""
    with errors():
        found = load_context(context)
        with operator_stub(found) as stub:
            reply = stub.ChangeOperator(pb.ChangeOperatorRequest(name=name, verb="reset-mfa"))
        _give(reply, found, out, output)


@operators.command("quorum")
@write
def quorum(
    value: Annotated[
        int, typer.Argument(min=1, max=3, help="How many people a dangerous decision takes.")
    ],
    context: Context = None,
) -> None:
    """Set how many people a dangerous decision takes; lowering it takes as many as now."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            me = stub.SetQuorum(pb.QuorumRequest(value=value))
        talk.print(f"quorum {me.quorum}")


def _change(name: str, verb: str, given: list[str], output: str, context: Path | None) -> None:
    with errors():
        with operator_stub(load_context(context)) as stub:
            person = stub.ChangeOperator(
                pb.ChangeOperatorRequest(name=name, verb=verb, roles=given)
            ).operator
        _told(
            person,
            f"{safe(person.name)}: {verb} done; roles {', '.join(person.roles) or 'none'}",
            output,
        )


def _told(person: pb.OperatorRecord, words: str, output: str) -> None:
    if output == "json":
        show_json(_person(person))
    else:
        talk.print(words)


@access.command("request")
@write
def request(
    role: Annotated[str, typer.Option(help=f"{', '.join(Role)}.")],
    reason: Annotated[str, typer.Option(help="Why; whoever approves reads it.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h; at most 8h.")] = "30m",
    zone: Annotated[str, typer.Option(help="Only in this zone.")] = FLEET_WIDE,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Ask for a role for a while."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.RequestRole(
                pb.RoleRequest(
                    role=role,
                    zone=zone,
                    minutes=max(1, round(seconds_of(for_) / 60)),
                    reason=reason,
                )
            )
        if output == "json":
            show_json(_request(row))
        elif row.state == "approved":
            talk.print(f"{row.id}: granted, {until(row.until_ms)}")
        else:
            talk.print(
                f"{row.id}: waits for {row.needed} other{'s' if row.needed > 1 else ''}: framegate"
                f" access approve {row.id}"
            )


def _decide(identifier: str, approve: bool, reason: str, output: str, context: Path | None) -> None:
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.DecideAccess(pb.DecideRequest(id=identifier, approve=approve, reason=reason))
        if output == "json":
            show_json(_request(row))
            return
        more = f"; it waits for {row.needed} more" if row.needed else ""
        talk.print(
            f"{row.id}: {row.state} ({safe(row.summary)}, asked by {safe(row.requester)}){more}"
        )


_RUNS = {"pending", "approved"}
Identifier = Annotated[str, typer.Argument(help="The request's id or a unique prefix.")]
Why = Annotated[str, typer.Option(help="Why; kept.")]


@access.command("approve")
@write
def approve(
    identifier: Identifier, reason: Why = "", output: Output = "table", context: Context = None
) -> None:
    """Say yes to what somebody else asks for; it counts for exactly that, once."""
    _decide(identifier, True, reason, output, context)


@access.command("deny")
@write
def deny(
    identifier: Identifier, reason: Why = "", output: Output = "table", context: Context = None
) -> None:
    """Say no."""
    _decide(identifier, False, reason, output, context)


@access.command("list")
@read
def list_access(
    all_: Annotated[bool, typer.Option("--all", help="Also what is past.")] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What waits for somebody, and roles that run."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ListAccess(pb.ListAccessRequest(all=all_))
        if output == "json":
            show_json({"quorum": reply.quorum, "requests": [_request(r) for r in reply.rows]})
            return
        rows = [
            (
                r.id,
                r.state,
                r.requester,
                r.summary,
                r.reason,
                ", ".join(r.approvals),
                r.needed or "",
                until(r.until_ms or r.expires_ms) if r.state in _RUNS else "",
                ago(r.asked_ms),
                r.content_sha256.hex()[:16],
            )
            for r in reply.rows
        ]
        show_table(
            ("id", "state", "who", "what", "why", "approved by", "needs", "", "asked", "content"),
            rows,
            empty="nothing waits",
        )
        talk.print(f"quorum {reply.quorum}")


@auth.command("can-i")
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
            data.print(f"yes, by {', '.join(map(safe, reply.policies))} ({reply.policy})")
        else:
            for f in reply.failures:
                hint = f"; {safe(f.hint)}" if f.hint else ""
                data.print(
                    f"no: {safe(f.reason)}: expected {safe(f.expected)}, {safe(f.actual)}{hint}"
                )
        if not reply.allow:
            raise typer.Exit(EXIT_DENIED)


@auth.command("table")
@read
def table(output: Output = "table", context: Context = None) -> None:
    """Every verb and role, by the policy in force: yes, 2 (somebody else must approve), no."""
    with errors():
        found = role_table(fetch_policy(load_context(context)))
        if output == "json":
            show_json(found)
            return
        rows = [
            (
                verb,
                *(found[verb][role] for role in Role),
                ", ".join(g for g in verbs()[verb].groups if g in {"fresh", "change"}),
                verbs()[verb].words,
            )
            for verb in found
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


def _person(p: pb.OperatorRecord) -> dict[str, Any]:
    return {
        "name": p.name,
        "words": p.words,
        "enabled": p.enabled,
        "roles": list(p.roles),
        "elevations": list(p.elevations),
        "enrolled": p.enrolled,
        "factors": list(p.factors),
        "seen_ms": p.seen_ms,
        "added_ms": p.added_ms,
        "added_by": p.added_by,
        "sessions": p.sessions,
    }


def _request(r: pb.AccessRow) -> dict[str, Any]:
    return {
        "id": r.id,
        "state": r.state,
        "requester": r.requester,
        "verb": r.verb,
        "role": r.role,
        "zone": r.zone,
        "target": r.target,
        "summary": r.summary,
        "reason": r.reason,
        "approvals": list(r.approvals),
        "needed": r.needed,
        "asked_ms": r.asked_ms,
        "expires_ms": r.expires_ms,
        "until_ms": r.until_ms,
        "content_sha256": r.content_sha256.hex(),
    }
