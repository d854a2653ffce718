"""`framegate fleet`, `events`, `trust …`: the fleet as a whole, what happened in it, and whose TPMs
count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificate_file import load_certificate_file
from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_kinds import Kind
from framegate_operator.evidence_reading import read_as
from framegate_operator.machines import short_names
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import (
    STATE_STYLE,
    ago,
    counted,
    data,
    errors,
    short_id,
    shortened,
    show_table,
)
from framegate_proto.v1 import framegate_pb2 as pb

trust = typer.Typer(no_args_is_help=True, help="TPM makers whose endorsement counts.")


@read
def fleet(output: Output = "table", context: Context = None) -> None:
    """How many machines stand where."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            status = stub.FleetStatus(pb.ListRequest())
        if output == "json":
            show_json(
                {
                    "fleet": status.fleet,
                    "controller": status.controller,
                    "states": dict(status.states),
                    "revision": status.revision,
                    "attest_interval_ms": status.attest_interval_ms,
                    "watchers": status.watchers,
                    "feeds": status.feeds,
                }
            )
            return
        data.print(
            f"fleet {safe(status.fleet)}, {safe(status.controller)}, attest interval"
            f" {status.attest_interval_ms / 1000:g} s, {counted(status.watchers, 'agent')} and "
            f"{counted(status.feeds, 'gateway')} connected"
        )
        show_table(
            ("state", "machines"),
            [(s, status.states[s]) for s in STATE_STYLE if status.states.get(s)],
            empty="no machines yet: framegate camera invite NAME --profile PROFILE",
        )


@read
def events(
    device: Annotated[str, typer.Option(help="Only this machine.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what machines do as a matter of course.")
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What happened, newest first. What machines do as a matter of course, such as to attest, only
    with --all.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            request = pb.EventsRequest(device=device, limit=limit, all=everything)
            rows = stub.Events(request).events
        if output == "json":
            show_json(
                [
                    {
                        "at_ms": e.at_ms,
                        "device": e.device,
                        "event": e.event,
                        "actor": e.actor,
                        "detail": e.detail,
                        "from": e.from_state,
                        "to": e.to_state,
                        "entry": e.index,
                        "source": e.source,
                        "approved_by": list(e.approved_by),
                        "reason": e.reason,
                        "verb": e.verb,
                        "policies": list(e.policies),
                    }
                    for e in rows
                ]
            )
            return
        names = short_names(e.device for e in rows if e.device)
        show_table(
            ("when", "device", "event", "by", "from", "to", "detail"),
            [
                (
                    ago(e.at_ms),
                    names.get(e.device, ""),
                    e.event,
                    names.get(e.actor, e.actor),
                    e.from_state,
                    e.to_state,
                    shortened(e.detail),
                )
                for e in rows
            ],
            empty="no event is kept" if everything else "no event but routine: --all shows it",
            spare=("from", "by"),
        )


@trust.command("add-tpm-ca")
@write
def add_tpm_ca(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="PEM or DER; a PEM file may hold several."
        ),
    ],
    context: Context = None,
) -> None:
    """Trust a TPM maker's CA: its endorsement certificates then count."""
    with errors():
        certificates = [
            c.certificate for c in read_as(file, load_certificate_file, Kind.CERTIFICATE)
        ]
        with operator_stub(load_context(context)) as stub:
            for certificate in certificates:
                row = stub.AddTpmCa(pb.TpmCa(certificate=certificate.public_bytes(Encoding.DER)))
                talk.print(f"trusted: {safe(row.subject)} ({row.sha256[:16]}…)")


@trust.command("list")
@read
def list_tpm_cas(output: Output = "table", context: Context = None) -> None:
    """The TPM makers' CAs that are trusted."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListTpmCas(pb.ListRequest()).authorities
        if output == "json":
            show_json(
                [
                    {
                        "subject": r.subject,
                        "sha256": r.sha256,
                        "added_ms": r.added_ms,
                        "expires_ms": r.expires_ms,
                    }
                    for r in rows
                ]
            )
            return
        show_table(
            ("subject", "sha256", "added"),
            [(r.subject, short_id(r.sha256), ago(r.added_ms)) for r in rows],
            empty=(
                "none: only tickets with an EK hash work; add one: framegate trust add-tpm-ca FILE"
            ),
        )
