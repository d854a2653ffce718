"""`framegate operator …`: who there is, with which roles and factors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.verbs import Role
from framegate.errors import Malformed, Reason, Refused
from framegate.federation.visit import issuer_of
from framegate.identity.certificates import load_certificate
from framegate.identity.names import parse_name
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.operator_context import context_body
from framegate_host.printing import show_text
from framegate_host.private_files import require_place, write_private
from framegate_operator.answers import CONTROLLER
from framegate_operator.connection import load_context, operator_stub, sign_in_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, errors, show_table
from framegate_operator.sites import known_sites, site_named
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="People: add, list, disable, give roles.")
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


@app.command("add")
@write
def add(  # noqa: PLR0913 - a command's options
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and '-'.")],
    role: Roles,
    full_name: Annotated[str, typer.Option("--remark", help="Who that is: a full name.")] = "",
    oidc_subject: Annotated[
        str, typer.Option(help="They sign in at the provider, which knows them by this subject.")
    ] = "",
    oidc_issuer: Annotated[str, typer.Option(help="The provider; default: the controller's.")] = "",
    of_site: Annotated[
        str, typer.Option(help="They are of this other site, which vouches for them.")
    ] = "",
    person: Annotated[str, typer.Option(help="With --of-site: their name there.")] = "",
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
        require_place(out or Path(f"{parse_name(name, 'operator name')}.json"))
        operator = load_context(context)
        if bool(of_site) != bool(person) or (of_site and (oidc_subject or oidc_issuer)):
            hint = "--of-site SITE --person THEIR-NAME, and no provider beside"
            raise Malformed.of(Reason.USAGE, "a site and a name there", "something else", hint)
        issuer = oidc_issuer
        if of_site:
            fleet = site_named(known_sites(operator), of_site).fleet
            issuer, oidc_subject = issuer_of(fleet), parse_name(person, "person")
        if oidc_subject and not issuer:
            with sign_in_stub(operator) as stub:
                issuer = stub.Methods(pb.SignInMethodsRequest()).oidc_issuer
        with operator_stub(operator) as stub:
            reply = stub.AddOperator(
                pb.AddOperatorRequest(
                    name=name,
                    remark=full_name,
                    roles=role,
                    oidc_issuer=issuer,
                    oidc_subject=oidc_subject,
                )
            )
        _give(operator, reply, out, output, of_site)


def _give(
    operator: OperatorContext,
    reply: pb.OperatorReply,
    out: Path | None,
    output: str,
    of_site: str = "",
) -> None:
    person = reply.operator
    path = out or Path(f"{parse_name(person.name, 'operator name')}.json")
    certificate = load_certificate(reply.root)
    if certificate != operator.root_certificate:
        wanted, seen = "the root of this fleet, for another person to believe", "another one"
        raise Refused.of(Reason.CERTIFICATE, wanted, seen, CONTROLLER)
    root = certificate.public_bytes(Encoding.PEM).decode()
    write_private(
        path,
        json.dumps(
            context_body(reply.join_address, reply.fleet_address, reply.server_name, root)
        ).encode(),
    )
    if output == "json":
        show_json({**_person(person), "enrolment": reply.enrolment, "context": str(path)})
        return
    roles = ", ".join(map(safe, person.roles)) or "no role"
    talk.print(f"{safe(person.name)}: {roles}; their context file: {safe(path)}")
    if reply.enrolment:
        talk.print(
            "give them the file and this code, good for a day; they run: framegate context add"
            f" NAME {typed(path)}; framegate login {typed(person.name)} --enrol"
        )
        show_text(reply.enrolment)
    else:
        how = "--from THEIR-CONTEXT" if of_site else "--oidc"
        talk.print(f"they run: framegate context add NAME {typed(path)}; framegate login {how}")


@app.command("list")
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
                p.remark,
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


@app.command("disable")
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


@app.command("sign-out")
@write
def sign_out(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """End every session of a person, here and at gateways; they may sign in again."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            ended = stub.EndSessions(pb.EndSessionsRequest(name=name, reason=reason))
        if output == "json":
            show_json({"operator": ended.name, "sessions": ended.sessions})
        else:
            talk.print(f"{safe(ended.name)}: {ended.sessions} sessions ended")


@app.command("enable")
@write
def enable(name: NameArgument, output: Output = "table", context: Context = None) -> None:
    """Let a person in again."""
    _change(name, "enable", [], output, context)


@app.command("roles")
@write
def roles(
    name: NameArgument, role: Roles, output: Output = "table", context: Context = None
) -> None:
    """Give a person other standing roles in the place of those they have."""
    _change(name, "roles", role, output, context)


@app.command("reset-mfa")
@write
def reset_mfa(
    name: NameArgument,
    out: Annotated[Path | None, typer.Option(help="Write their context file here.")] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Forget a person's factors; they set new ones with the code that is shown."""
    with errors():
        require_place(out or Path("context.json"))  # the name may be a beginning
        operator = load_context(context)
        with operator_stub(operator) as stub:
            reply = stub.ChangeOperator(pb.ChangeOperatorRequest(name=name, verb="reset-mfa"))
        _give(operator, reply, out, output)


@app.command("quorum")
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
        roles = ", ".join(map(safe, person.roles)) or "none"
        _told(person, f"{safe(person.name)}: {verb} done; roles {roles}", output)


def _told(person: pb.OperatorRecord, sentence: str, output: str) -> None:
    if output == "json":
        show_json(_person(person))
    else:
        talk.print(sentence)


def _person(p: pb.OperatorRecord) -> dict[str, Any]:
    return {
        "name": p.name,
        "remark": p.remark,
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
