"""`framegate access …`: roles for a while, and approvals by somebody else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.access.verbs import FLEET_WIDE, Role
from framegate_host.console import confirm, safe, show_json, talk, typed
from framegate_host.printing import printable, show_text
from framegate_operator.asked_content import AskedContent, as_json, read_asked, save_bytes, told
from framegate_operator.asked_parts import parts_under
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, errors, seconds_of, show_table, until
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Roles for a while, and approvals by somebody else.")


_RUNS = {"pending", "approved"}


Identifier = Annotated[str, typer.Argument(help="The request's id or a unique prefix.")]


Why = Annotated[str, typer.Option(help="Why; kept.")]


@app.command("request")
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
            talk.print(f"{safe(row.id)}: granted, {until(row.until_ms)}")
        else:
            talk.print(
                f"{safe(row.id)}: waits for {row.needed} other{'s' if row.needed > 1 else ''}:"
                f" framegate access approve {typed(row.id)}"
            )


def _decided(row: pb.AccessRow, output: str) -> None:
    if output == "json":
        show_json(_request(row))
        return
    more = f"; it waits for {row.needed} more" if row.needed else ""
    named = f"{safe(row.summary)}, asked by {safe(row.requester)}"
    talk.print(f"{safe(row.id)}: {safe(row.state)} ({named}){more}")


def _shown(stub: Any, identifier: str) -> AskedContent | pb.AccessRow:
    """The request, read here; a review has no message, and is told by its row alone."""
    reply = stub.ShowAccess(pb.ShowAccessRequest(id=identifier))
    return read_asked(reply) if reply.row.content_sha256 else reply.row


def _lines(stub: Any, shown: AskedContent | pb.AccessRow) -> list[str]:
    if isinstance(shown, AskedContent):
        return [*told(shown), *parts_under(stub, shown.message)]
    said = (shown.id, shown.summary, shown.reason)
    return ["request " + ": ".join(map(printable, said))]


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


@app.command("show")
@read
def show(
    identifier: Identifier,
    save: Annotated[
        Path | None,
        typer.Option(help="Write its members that are bytes, such as images, into this folder."),
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Show a request whole: every member, fingerprints, and what differs from what is in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            shown = _shown(stub, identifier)
            lines = _lines(stub, shown)
        row = shown.row if isinstance(shown, AskedContent) else shown
        if save is not None and isinstance(shown, AskedContent):
            for path in save_bytes(shown, save):
                talk.print(f"{safe(path)} written")
        if output == "json":
            show_json(_request(row) | (as_json(shown) if isinstance(shown, AskedContent) else {}))
            return
        for line in lines:
            show_text(line)


@app.command("approve")
@write
def approve(
    identifier: Identifier,
    reason: Why = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask at the terminal.")] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Show what somebody else asks for, whole, and say yes to exactly that; it counts once."""
    with errors(), operator_stub(load_context(context)) as stub:
        shown = _shown(stub, identifier)
        for line in _lines(stub, shown):
            talk.print(line, markup=False)
        if _at_a_terminal() and not yes:
            confirm("approve exactly this?")
        row, digest = (shown.row, shown.digest) if isinstance(shown, AskedContent) else (shown, b"")
        request = pb.DecideRequest(id=row.id, approve=True, reason=reason, content_sha256=digest)
        _decided(stub.DecideAccess(request), output)


@app.command("deny")
@write
def deny(
    identifier: Identifier, reason: Why = "", output: Output = "table", context: Context = None
) -> None:
    """Say no."""
    with errors(), operator_stub(load_context(context)) as stub:
        request = pb.DecideRequest(id=identifier, approve=False, reason=reason)
        _decided(stub.DecideAccess(request), output)


@app.command("list")
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
            (
                "id",
                "state",
                "who",
                "what",
                "their remark",
                "approved by",
                "needs",
                "",
                "asked",
                "content",
            ),
            rows,
            empty="nothing waits",
        )
        talk.print(f"quorum {reply.quorum}")


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
        "content_type": r.content_type,
        "content_sha256": r.content_sha256.hex(),
    }
