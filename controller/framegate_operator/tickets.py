"""`framegate camera invite` and `replace`: tickets, with each of which one machine may join."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.wire import Ticket, ticket_text
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import require_place, write_private
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name, Why, detail_of
from framegate_operator.options import WRITE, Context, Output, write
from framegate_operator.output import errors
from framegate_proto.v1 import framegate_pb2 as pb

_PRINTED = "printed by framegate-agent ek. Without it an operator has to approve."
Hours = Annotated[float, typer.Option(min=0.01, max=24)]
Out = Annotated[
    Path | None,
    typer.Option(help="Write the ticket to this file (0600) instead of standard output."),
]
Qr = Annotated[
    bool,
    typer.Option(
        "--qr",
        help="Show it as a QR code, or write one beside --out as FILE.png: "
        "framegate-agent join - reads what a scanner types.",
    ),
]


@write
def invite(  # noqa: PLR0913 - a command's options
    kind: str,
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and '-'.")],
    profile: Annotated[str, typer.Option(help="Firmware profile that it must satisfy.")],
    zone: Annotated[str, typer.Option(help="Zone, for instance a line.")] = "line-1",
    ek_hash: Annotated[str, typer.Option(help=f"Binds the ticket to one machine; {_PRINTED}")] = "",
    hours: Hours = 24.0,
    out: Out = None,
    qr: Qr = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Make a ticket with which one machine may join."""
    request = pb.InviteRequest(
        kind=kind,
        name=name,
        zone=zone,
        profile=profile,
        ek_sha256=ek_hash,
        life_s=int(hours * 3600),
    )
    with errors():
        require_place(*_places(out, qr=qr))
        with operator_stub(load_context(context)) as stub:
            reply = stub.Invite(request)
        _give(reply, out, output, hours, qr=qr)
        _tell_unbound(request)


@write
def replace(  # noqa: PLR0913 - a command's options
    kind: str,
    name: Name,
    ek_hash: Annotated[
        str, typer.Option(help=f"Binds the ticket to the new machine; {_PRINTED}")
    ] = "",
    reason: Why = "",
    hours: Hours = 24.0,
    out: Out = None,
    qr: Qr = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Make a ticket for another machine in this one's place, after a mainboard change.
    The old identity ends the moment the new one joins.
    """
    with errors():
        require_place(*_places(out, qr=qr))
        with operator_stub(load_context(context)) as stub:
            summary = detail_of(stub, name, kind).summary
            request = pb.InviteRequest(
                kind=kind,
                name=summary.name,
                zone=summary.zone,
                profile=summary.profile,
                ek_sha256=ek_hash,
                life_s=int(hours * 3600),
                replace=True,
                reason=reason,
            )
            reply = stub.Invite(request)
        _give(reply, out, output, hours, qr=qr)
        _tell_unbound(request)


def _tell_unbound(request: pb.InviteRequest) -> None:
    if not request.ek_sha256:
        next_ = f"framegate {request.kind} approve {request.name}"
        talk.print(f"not bound to a machine: after it has joined, {next_}")


def _give(reply: pb.InviteReply, out: Path | None, output: str, hours: float, *, qr: bool) -> None:
    if WRITE.get().dry_run:
        return
    text = ticket_text(
        Ticket(
            join_address=reply.join_address,
            fleet_address=reply.fleet_address,
            server_name=reply.server_name,
            root=reply.root,
            code=reply.code,
            issued_at_ms=reply.now_ms,
        )
    )
    if out is not None:
        _write(reply.device, text, out, qr=qr)
    elif output == "json":
        show_json({"device": reply.device, "ticket": text, "expires_ms": reply.expires_ms})
    else:
        told = f"ticket for {safe(reply.device)}, good once, for {hours:g} h."
        talk.print(f"{told} On the machine: framegate-agent join TICKET")
        if qr:
            _qr(text).terminal(out=sys.stderr, compact=True)
        show_text(text)


def _places(out: Path | None, *, qr: bool) -> tuple[Path, ...]:
    """The files that are written."""
    if out is None:
        return ()
    return (out, _picture(out)) if qr else (out,)


def _picture(out: Path) -> Path:
    return out.with_name(out.name + ".png")


def _write(device: str, text: str, out: Path, *, qr: bool) -> None:
    try:
        write_private(out, text.encode() + b"\n")
    except OSError as error:  # it was given out: whoever asked is to have it
        talk.print(f"[red]{safe(out)} cannot be written[/]: {safe(error.strerror)}; the ticket is:")
        show_text(text)
        raise
    talk.print(f"ticket for {safe(device)}: {safe(out)}")
    talk.print(f"on the machine: framegate-agent join {typed(out)}, or run --ticket {typed(out)}")
    if qr:
        picture = _picture(out)
        drawn = io.BytesIO()
        _qr(text).save(drawn, kind="png", scale=4)
        write_private(picture, drawn.getvalue())
        talk.print(f"the same as a QR code: {safe(picture)}")


def _qr(text: str) -> Any:
    """The ticket as a QR code (segno.QRCode)."""
    import segno  # noqa: PLC0415 - few tickets are shown so, and each waits for what is loaded

    return segno.make(text, error="l")
