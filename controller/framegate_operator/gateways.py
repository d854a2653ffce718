"""`framegate gateway …`: the commands of every device, and what each gateway process runs."""

from __future__ import annotations

from typing import Any, Final

import typer

from framegate.errors import Unavailable
from framegate_host.console import EXIT_UNAVAILABLE, safe, show_failures, show_json, talk
from framegate_operator.connection import gateway_stub, load_context
from framegate_operator.connection import gateways as running_gateways
from framegate_operator.devices import device_commands
from framegate_operator.machines import short_names
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = device_commands("gateway")
NEARLY_FULL: Final = 0.8
"""Share of the room of a camera's receipts from which on it is told of."""


@app.command("status")
@read
def status(output: Output = "table", context: Context = None) -> None:
    """What each gateway runs: model, whether its known answers held, parts, verdicts, refusals."""
    with errors():
        operator, rows, silent = load_context(context), [], 0
        for device, address in running_gateways(operator):
            try:
                with gateway_stub(operator, device, address) as stub:
                    reply = stub.Status(pb.ListRequest())
            except Unavailable as error:
                silent += 1
                talk.print(f"[yellow]{safe(device)} does not answer at {safe(address)}[/]")
                show_failures(error.failures)
                continue
            rows.append(
                {
                    "gateway": device,
                    "model": reply.model,
                    "model_sha256": reply.model_sha256,
                    "model_state": reply.model_state,
                    "known_answers": reply.known_answers,
                    "parts": reply.parts,
                    "outcomes": dict(reply.outcomes),
                    "refusals": dict(reply.refusals),
                    "unanswered": dict(reply.unanswered),
                    "receipts": [_kept(r) for r in reply.receipts],
                    "gate_open": reply.gate_open,
                    "isolation": reply.isolation,
                    "decisions": reply.decisions,
                }
            )
        if silent and not rows:
            raise typer.Exit(EXIT_UNAVAILABLE)
        if output == "json":
            show_json(rows)
            return
        names = short_names(r["gateway"] for r in rows)
        cells = [
            (
                names[r["gateway"]],
                f"{r['model']} {r['model_sha256'][:16]}",
                r["model_state"],
                r["known_answers"],
                r["parts"],
                _counts(r["outcomes"]),
                _counts(r["refusals"]),
                _counts(r["unanswered"]),
                "open" if r["gate_open"] else "SHUT",
            )
            for r in rows
        ]
        show_table(
            (
                "gateway",
                "model",
                "state",
                "known answers",
                "parts",
                "verdicts",
                "refused for",
                "not answered",
                "gate",
            ),
            cells,
            empty="no gateway process has shown itself to the controller: framegate gateway list",
        )
        for row in (r for r in rows if r["decisions"]):
            talk.print(f"{safe(names[row['gateway']])}: {safe(row['decisions'])}")
        for kept in (k for r in rows for k in r["receipts"]):
            _warn(kept)


def _kept(kept: pb.ReceiptsKept) -> dict[str, Any]:
    return {
        "device": kept.device,
        "bytes": kept.bytes,
        "quota": kept.quota,
        "oldest_ms": kept.oldest_ms,
        "pruned": kept.pruned,
    }


def _warn(kept: dict[str, Any]) -> None:
    """Before a camera's oldest receipts go."""
    if kept["bytes"] < NEARLY_FULL * kept["quota"]:
        return
    talk.print(
        f"[yellow]receipts of {safe(kept['device'])} take {100 * kept['bytes'] // kept['quota']} % "
        f"of their room[/]: the oldest go when it is full, those from {ago(kept['oldest_ms'])} on; "
        f"framegate receipt export --camera {safe(kept['device'])}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{v} {k}" for k, v in sorted(counts.items(), key=lambda row: -row[1])[:4])
