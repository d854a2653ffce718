"""`framegate camera …` and `framegate gateway …`: invite, look at, and steer machines. One table of commands serves both kinds."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import segno
import typer

from framegate.errors import Failure, Reason, Refused
from framegate.wire import Ticket, ticket_text
from framegate_host.console import EXIT_UNTRUSTED, safe, show_failures, show_json, talk
from framegate_host.private_files import write_private
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import WRITE, read, write
from framegate_operator.output import ago, data, errors, in_words, show_table, until
from framegate_proto.v1 import framegate_pb2 as pb


def complete_device(incomplete: str) -> list[str]:
    """Names of machines, for the shell; none where there is no session or no answer."""
    try:
        with operator_stub(load_context(None)) as stub:
            return [d.name for d in stub.List(pb.ListRequest()).devices if d.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell that completes nothing is better than one that fails
        return []


Context = Annotated[Path | None, typer.Option("--context", help="A context's name or file; default: FRAMEGATE_CONTEXT, else the one in use.")]
Output = Annotated[str, typer.Option("--output", "-o", help="table or json")]
Name = Annotated[str, typer.Argument(help="Name, id or unique prefix.", autocompletion=complete_device)]
Reason_ = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]

_WHAT_TRUST_MEANS = {
    "invited": "a ticket is out and nobody has joined with it",
    "pending": "it proved itself by a ticket without an EK hash; an operator has to approve it",
    "trusted": "its last evidence affirms its firmware profile",
    "stale": "no fresh evidence in time; it heals by itself when it attests again, and its frames are refused until then",
    "suspect": "its own TPM contradicts its firmware profile; it stays so until an operator releases it and fresh evidence passes",
    "quarantined": "an operator holds it; its frames are refused",
    "retired": "it has left the fleet; only a new ticket brings it back",
}


def device_commands(kind: str) -> typer.Typer:
    """The commands of one kind of device."""
    app = typer.Typer(no_args_is_help=True, help={"camera": "Cameras: invite, look at, steer.", "gateway": "Gateways' hosts: invite, look at, steer."}[kind])

    @app.command()
    @write
    def invite(
        name: Annotated[str, typer.Argument(help="a-z, 0-9 and '-'.")],
        profile: Annotated[str, typer.Option(help="Firmware profile that it must satisfy.")],
        zone: Annotated[str, typer.Option(help="Zone, for instance a line.")] = "line-1",
        ek_hash: Annotated[str, typer.Option(help="Binds the ticket to one machine; printed by framegate-agent ek. Without it an operator has to approve.")] = "",
        hours: Annotated[float, typer.Option(min=0.01, max=24)] = 24.0,
        out: Annotated[Path | None, typer.Option(help="Write the ticket to this file (0600) instead of standard output.")] = None,
        qr: Annotated[bool, typer.Option("--qr", help="Show it as a QR code, or write one beside --out as FILE.png: framegate-agent join - reads what a scanner types.")] = False,
        output: Output = "table", context: Context = None,
    ) -> None:  # fmt: skip
        """Make a ticket with which one machine may join."""
        with errors():
            with operator_stub(load_context(context)) as stub:
                reply = stub.Invite(pb.InviteRequest(kind=kind, name=name, zone=zone, profile=profile, ek_sha256=ek_hash, life_s=int(hours * 3600)))
            _give_ticket(reply, out, output, hours, qr=qr)
            if not ek_hash:
                talk.print(f"not bound to a machine: after it has joined, framegate {kind} approve {name}")

    @app.command()
    @write
    def replace(
        name: Name, ek_hash: Annotated[str, typer.Option(help="Binds the ticket to the new machine; printed by framegate-agent ek. Without it an operator has to approve.")] = "",
        reason: Reason_ = "", hours: Annotated[float, typer.Option(min=0.01, max=24)] = 24.0,
        out: Annotated[Path | None, typer.Option(help="Write the ticket to this file (0600) instead of standard output.")] = None,
        qr: Annotated[bool, typer.Option("--qr", help="Show it as a QR code, or write one beside --out as FILE.png: framegate-agent join - reads what a scanner types.")] = False,
        output: Output = "table", context: Context = None,
    ) -> None:  # fmt: skip
        """Make a ticket for another machine in this one's place, after a mainboard change. The old identity ends the moment the new one joins."""
        with errors():
            with operator_stub(load_context(context)) as stub:
                summary = _detail_of(stub, name, kind).summary
                request = pb.InviteRequest(
                    kind=kind, name=summary.name, zone=summary.zone, profile=summary.profile, ek_sha256=ek_hash, life_s=int(hours * 3600), replace=True, reason=reason
                )
                reply = stub.Invite(request)
            _give_ticket(reply, out, output, hours, qr=qr)
            if not ek_hash:
                talk.print(f"not bound to a machine: after it has joined, framegate {kind} approve {summary.name}")

    @app.command("list")
    @read
    def list_(output: Output = "table", context: Context = None) -> None:
        """All of them, with their state."""
        with errors():
            with operator_stub(load_context(context)) as stub:
                devices = stub.List(pb.ListRequest(kind=kind)).devices
            if output == "json":
                show_json([_summary(d) for d in devices])
                return
            columns = ("name", "zone", "state", "since", "last result", "result", "profile", "reasons", "")
            rows = [
                (
                    d.name,
                    d.zone,
                    d.state,
                    ago(d.since_ms),
                    ago(d.last_result_ms),
                    in_words(d.result_remaining_ms),
                    d.profile,
                    d.failures or "",
                    "maintenance" if d.maintenance_until_ms else "",
                )
                for d in devices
            ]
            show_table(columns, rows, empty=f"no {kind} yet; make a ticket: framegate {kind} invite NAME --profile PROFILE")

    @app.command()
    @read
    def show(name: Name, output: Output = "table", context: Context = None) -> None:
        """Everything known about one."""
        with errors():
            detail = _detail(context, name, kind)
            if output == "json":
                show_json(_detail_json(detail))
                return
            s = detail.summary
            vector = ", ".join(f"{k} {_word(v)}" for k, v in sorted(detail.vector.items()))
            serviced = f"{until(s.maintenance_until_ms)}: {s.maintenance}" if s.maintenance_until_ms else "no"
            rows: list[tuple[str, object]] = [
                ("device", s.device), ("state", s.state), ("since", ago(s.since_ms)), ("profile", s.profile), ("last result", ago(s.last_result_ms)),
                ("result stands", in_words(s.result_remaining_ms)), ("maintenance", serviced), ("result id", s.result_id or "none"),
                ("trustworthiness", vector or "nothing appraised yet"),
                ("TPM", f"{detail.tpm} firmware {detail.tpm_firmware}" if detail.tpm else "not seen yet"), ("EK", detail.ek_sha256 or "not seen yet"),
                ("endorsed by", detail.ek_endorsement or "nobody yet"), ("resets, restarts", f"{detail.reset_count}, {detail.restart_count}"),
                ("IMA entries", detail.ima_entries or "none"), *(("finding", f"{f.reason}: {f.actual}; {f.hint}") for f in detail.findings), *_posture_rows(detail.posture),
            ]  # fmt: skip
            rows += [(f"PCR {p}", v) for p, v in sorted(detail.pcrs.items(), key=lambda i: int(i[0]))]
            rows += [("address", a) for a in s.gateway_addresses]
            show_table(("", ""), rows, empty="")
            columns = ("when", "event", "by", "from", "to", "detail")
            show_table(columns, [(ago(e.at_ms), e.event, e.actor, e.from_state, e.to_state, e.detail) for e in detail.events], empty="no events")

    @app.command()
    @read
    def why(name: Name, output: Output = "table", context: Context = None) -> None:
        """Why it is in its state: what differed, expected and seen, since when, what to do. Exit code 6 unless trusted."""
        with errors():
            detail = _detail(context, name, kind)
            s = detail.summary
            if output == "json":
                show_json({k: v for k, v in _detail_json(detail).items() if k in {"device", "state", "since_ms", "failures", "failures_ms"}})
            else:
                data.print(f"{safe(s.device)} is [bold]{s.state}[/], since {ago(s.since_ms)}: {_WHAT_TRUST_MEANS.get(s.state, '')}.")
                moved = next((e for e in detail.events if e.to_state == s.state and e.from_state != s.state), None)
                if moved is not None:
                    data.print(f"Moved from {safe(moved.from_state or 'nothing')} by {safe(moved.actor)} ({safe(moved.event)}){': ' + safe(moved.detail) if moved.detail else ''}.")
                failures = [Failure(_reason(f.reason), f.expected, f.actual, f.hint) for f in detail.failures]
                if failures:
                    data.print(f"\nIts evidence of {ago(detail.failures_ms)} failed in {len(failures)} check{'s' if len(failures) > 1 else ''}:")
                    show_failures(failures, data)
                data.print(f"\nNext: {_next(s, bool(failures))}")
            if s.state != "trusted":
                raise typer.Exit(EXIT_UNTRUSTED)

    for verb, words in (
        ("quarantine", "Hold it: its frames are refused at once, everywhere."), ("release", "Lift a quarantine or suspicion; fresh evidence must still pass."),
        ("approve", "Accept a machine that joined by a ticket without an EK hash."), ("attest-now", "Ask it for fresh evidence at once."),
    ):  # fmt: skip
        app.command(verb, help=words)(_change(kind, verb))

    @app.command()
    @write
    def retire(
        name: Name, reason: Reason_ = "", yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, output: Output = "table", context: Context = None
    ) -> None:
        """Take it out of the fleet for good; only a new ticket brings it back."""
        if not yes:
            typer.confirm(f"retire {safe(name)} for good?", abort=True, err=True)
        _do(kind, "retire", name, reason, output, context)

    return app


def _give_ticket(reply: pb.InviteReply, out: Path | None, output: str, hours: float, *, qr: bool) -> None:
    if WRITE.get().dry_run:
        return
    ticket = Ticket(
        join_address=reply.join_address, fleet_address=reply.fleet_address, server_name=reply.server_name, root=reply.root, code=reply.code,
        issued_at_ms=reply.now_ms,
    )  # fmt: skip
    text = ticket_text(ticket)
    if out is not None:
        write_private(out, text.encode() + b"\n")
        talk.print(f"ticket for {safe(reply.device)}: {out}")
        if qr:
            picture = out.with_name(out.name + ".png")
            drawn = io.BytesIO()
            segno.make(text, error="l").save(drawn, kind="png", scale=4)
            write_private(picture, drawn.getvalue())
            talk.print(f"the same as a QR code: {picture}")
    elif output == "json":
        show_json({"device": reply.device, "ticket": text, "expires_ms": reply.expires_ms})
    else:
        talk.print(f"ticket for {safe(reply.device)}, good once, for {hours:g} h. On the machine: framegate-agent join TICKET")
        if qr:
            segno.make(text, error="l").terminal(out=sys.stderr, compact=True)
        print(text)


def _change(kind: str, verb: str) -> Any:
    @write
    def run(name: Name, reason: Reason_ = "", output: Output = "table", context: Context = None) -> None:
        _do(kind, verb, name, reason, output, context)

    return run


def _do(kind: str, verb: str, name: str, reason: str, output: str, context: Path | None) -> None:
    with errors():
        with operator_stub(load_context(context)) as stub:
            device = _detail_of(stub, name, kind).summary.device
            summary = stub.Change(pb.ChangeRequest(device=device, event=verb, reason=reason))
        if output == "json":
            show_json(_summary(summary))
        else:
            talk.print(f"{safe(summary.device)}: {verb} done, now {summary.state}")


def _detail(context: Path | None, name: str, kind: str) -> pb.DeviceDetail:
    with operator_stub(load_context(context)) as stub:
        return _detail_of(stub, name, kind)


def _detail_of(stub: Any, name: str, kind: str) -> pb.DeviceDetail:
    detail: pb.DeviceDetail = stub.Show(pb.DeviceRequest(device=name))
    if detail.summary.kind != kind:
        raise Refused.of(Reason.NOT_FOUND, f"a {kind}", f"{detail.summary.device}", f"framegate {detail.summary.kind} show {detail.summary.name}")
    return detail


def _next(s: pb.DeviceSummary, failed: bool) -> str:
    if s.state == "trusted":
        return "nothing to do"
    if s.state == "invited":
        return f"run framegate-agent join on the machine, or framegate {s.kind} retire {s.name}"
    if s.state == "pending":
        return f"framegate {s.kind} approve {s.name}"
    if s.state == "stale":
        return f"check that the machine runs and reaches the controller (framegate-agent doctor); framegate {s.kind} attest-now {s.name}"
    if s.state == "suspect" and failed:
        return f"put right what differs on the machine and restart it, then framegate {s.kind} release {s.name}; or framegate {s.kind} retire {s.name}"
    return f"framegate {s.kind} release {s.name}"


def _posture_rows(text: str) -> list[tuple[str, object]]:
    """Posture, a fact a row, lists cut short; everything in it is the agent's own word."""
    rows: list[tuple[str, object]] = []
    for name, value in (json.loads(text) if text else {}).items():
        if value in ("", -1, []):
            continue
        shown = ", ".join(map(str, value[:8])) + (f" and {len(value) - 8} more" if len(value) > 8 else "") if isinstance(value, list) else value
        rows.append((f"says: {name.replace('_', ' ')}", shown))
    return rows


def _word(value: int) -> str:
    return {2: "affirming", 32: "warning", 96: "contraindicated", 0: "no claim"}.get(value, str(value))


def _reason(value: str) -> Reason:
    return Reason(value) if value in set(Reason) else Reason.INTERNAL


def _summary(d: pb.DeviceSummary) -> dict[str, Any]:
    return {
        "device": d.device, "kind": d.kind, "zone": d.zone, "name": d.name, "state": d.state, "since_ms": d.since_ms, "profile": d.profile,
        "last_result_ms": d.last_result_ms, "result_remaining_ms": d.result_remaining_ms, "result_id": d.result_id, "failures": d.failures,
        "maintenance_until_ms": d.maintenance_until_ms, "maintenance": d.maintenance,
        "gateway_addresses": list(d.gateway_addresses), "operator_addresses": list(d.operator_addresses),
    }  # fmt: skip


def _detail_json(detail: pb.DeviceDetail) -> dict[str, Any]:
    return {
        **_summary(detail.summary), "failures": [{"reason": f.reason, "expected": f.expected, "actual": f.actual, "hint": f.hint} for f in detail.failures],
        "failures_ms": detail.failures_ms, "tpm": detail.tpm, "tpm_firmware": detail.tpm_firmware, "ek_sha256": detail.ek_sha256,
        "ek_endorsement": detail.ek_endorsement, "vector": dict(detail.vector), "posture": json.loads(detail.posture) if detail.posture else None,
        "findings": [{"reason": f.reason, "expected": f.expected, "actual": f.actual, "hint": f.hint} for f in detail.findings], "ima_entries": detail.ima_entries,
        "reset_count": detail.reset_count, "restart_count": detail.restart_count, "pcrs": dict(detail.pcrs),
        "events": [{"at_ms": e.at_ms, "event": e.event, "actor": e.actor, "detail": e.detail, "from": e.from_state, "to": e.to_state} for e in detail.events],
    }  # fmt: skip


cameras = device_commands("camera")
