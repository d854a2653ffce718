"""`framegate verdict …`: verdicts out of the gateways' operator ports, each verified here before it
is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.text import Text

from framegate.errors import Reason, Refused, Unavailable
from framegate.receipt_verifier import VerifiedReceipt
from framegate.signed.statement import Verdict
from framegate_host.console import EXIT_UNTRUSTED, safe, show_failures, show_json, talk
from framegate_host.printing import printable, show_text
from framegate_host.private_files import require_place, write_private
from framegate_operator.answers import reading
from framegate_operator.connection import first_answer, gateway_stub, gateways, load_context
from framegate_operator.contexts import OperatorContext
from framegate_operator.machines import device_named
from framegate_operator.one_receipt import maker_of, one_receipt
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import OUTCOME_STYLE, ago, data, errors, short_id, show_table
from framegate_operator.traffic import ANSWER_S
from framegate_operator.verdict_names import (
    VerdictName,
    handed_out,
    verdict_named,
    verified_verdicts,
)
from framegate_operator.verdict_reviews import confirm, reject, reviews
from framegate_operator.verdict_words import verdict_facts, why_so
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Verdicts on parts.")


@app.command("list")
@read
def list_(
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    camera: Annotated[str, typer.Option(help="Only this camera: its name or id.")] = "",
    outcome: Annotated[
        Literal["PASS", "DEFECT", "UNINSPECTED"] | None,
        typer.Option(help="Only this outcome.", case_sensitive=False),
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """The latest verdicts of all gateways, newest first. One that does not verify is not shown: who
    hands it out is said, and the exit code is 6.
    """
    with errors():
        operator = load_context(context)
        wanted = device_named(operator, camera, "camera")
        request = pb.ListVerdictsRequest(limit=limit, device=wanted, outcome=outcome or "")
        verdicts, silent, false = list[Verdict](), list[str](), False
        endpoints = gateways(operator)
        for device, address in endpoints:
            try:
                with gateway_stub(operator, device, address) as stub:
                    told = stub.ListVerdicts(request).verdicts
                handed = handed_out(operator, device, told)
                verdicts += handed.verdicts
                false = false or bool(handed.problems)
            except Unavailable as error:
                silent.append(device)
                talk.print(f"{safe(device)} does not answer at {safe(address)}")
                show_failures(error.failures)
        if not verdicts and (silent or not endpoints):
            raise _unknown(silent)
        verdicts.sort(key=lambda v: -v.issued_at_ms)
        if output == "json":
            show_json([asdict(v) for v in verdicts[:limit]])
        else:
            rows, empty = [_row(v) for v in verdicts[:limit]], _none_of(camera, outcome)
            show_table(_COLUMNS, rows, empty="none that holds" if false else empty)
        if false:
            raise typer.Exit(EXIT_UNTRUSTED)


def _unknown(silent: Sequence[str]) -> Unavailable:
    """What is said where nobody knows whether there are verdicts."""
    if silent:
        seen, hint = f"no answer of {', '.join(silent)}", "framegate gateway status"
        return Unavailable.of(Reason.UNAVAILABLE, "a gateway that answers", seen, hint)
    seen, hint = "no gateway process has shown itself", "framegate gateway list"
    return Unavailable.of(Reason.UNAVAILABLE, "a gateway in standing", seen, hint)


def _none_of(camera: str, outcome: str | None) -> str:
    """What is said where every gateway answered, and none has such a verdict in its memory."""
    asked = " ".join(filter(None, [outcome, f"of {camera}" if camera else ""]))
    return f"the gateways that stand have no verdict{f' {asked}' if asked else ''} in memory"


@app.command()
def watch(
    camera: Annotated[str, typer.Option(help="Only this camera: its name or id.")] = "",
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0 = never.")] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Verdicts as they are made, of the first gateway that answers; end with Ctrl-C."""
    with errors():
        operator = load_context(context)
        wanted = device_named(operator, camera, "camera")
        device, address = _first_up(operator)
        talk.print(f"watching {safe(device)}")
        end = time.monotonic() + seconds if seconds else float("inf")
        try:
            with gateway_stub(operator, device, address) as stub:
                for batch in stub.WatchVerdicts(pb.ListVerdictsRequest(device=wanted), stream=True):
                    for verdict in verified_verdicts(operator, batch.verdicts):
                        if output == "json":
                            show_text(json.dumps(asdict(verdict)), flush=True)
                        else:
                            _watched(verdict)
                    if time.monotonic() > end:
                        return
        except KeyboardInterrupt:
            return


def _first_up(operator: OperatorContext) -> tuple[str, str]:
    """(device, address) of the first gateway that answers. Raises Unavailable."""
    endpoints = gateways(operator)
    problem = _unknown([])
    for device, address in endpoints:
        try:
            with gateway_stub(operator, device, address, ANSWER_S) as stub:
                stub.Status(pb.ListRequest())
        except Unavailable as error:
            problem = error
            talk.print(f"[yellow]{safe(device)} does not answer[/] at {safe(address)}")
        else:
            return device, address
    raise problem


def _watched(verdict: Verdict) -> None:
    """One line, cut to the width of the terminal at its end, where the words are."""
    _, part, camera, outcome, what, identifier = _row(verdict)
    narrow = data.width < _ROOMY
    head = f"{part:{14 if narrow else 20}}  {camera:{6 if narrow else 12}}  "
    rest = f"{outcome:11}  {identifier}  {what}"
    line = Text(printable(head + rest))
    line.stylize(OUTCOME_STYLE[outcome], len(head), len(head) + len(outcome))
    data.print(line, no_wrap=True, overflow="ellipsis")


@app.command()
def picture(
    verdict_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of a recent DEFECT, or of a frame that was withheld, or its unique beginning;"
            " latest: the latest DEFECT.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    context: Context = None,
) -> None:
    """Save the picture of a recently found defect, the frame with its boxes, or of a frame that a
    second look withheld. Gateways keep the last few in memory only.
    """
    with errors():
        require_place(out)
        nothing = Refused.of(
            Reason.NOT_FOUND,
            "a gateway with that picture",
            "none",
            "framegate verdict list --outcome DEFECT",
        )
        operator = load_context(context)
        request = pb.PictureRequest(verdict_id=verdict_named(operator, verdict_id))
        maker = maker_of(operator, request.verdict_id)
        device, reply = first_answer(operator, lambda s: s.Picture(request), nothing, of=maker)
        write_private(out, reply.png)
        talk.print(f"{safe(out)} from {safe(device)}")


@app.command()
def show(
    verdict_id: VerdictName,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="PNG to write: golden image, frame with boxes, receipt badge."
        ),
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Show one verdict, verified before it is shown; with --picture also draw it: golden image
    beside the frame with its boxes, under a badge that says what proves it.
    """
    with errors():
        require_place(picture)
        operator = load_context(context)
        identifier = verdict_named(operator, verdict_id)
        receipt = _receipt(operator, identifier)
        if picture is not None:
            _draw(operator, receipt, picture)
        if output == "json":
            show_json({"claims": receipt.claims, "verdict": receipt.verdict})
            return
        show_table(("", ""), verdict_facts(receipt), empty="")
        short = short_id(receipt.claims["cti"])
        talk.print(f"next: framegate verdict why {short}; framegate receipt show {short}")


@app.command()
def why(
    verdict_id: VerdictName,
    context: Context = None,
) -> None:
    """Say in words why a verdict is what it is, and where to look next."""
    with errors():
        operator = load_context(context)
        tell_verdict(operator, verdict_named(operator, verdict_id))


app.command()(write(confirm))
app.command()(write(reject))
app.command()(read(reviews))


def tell_verdict(operator: OperatorContext, verdict_id: str) -> None:
    """Print why a verdict is what it is, out of its receipt."""
    receipt = _receipt(operator, verdict_id)
    fg = receipt.claims["fg"]
    what = "triggers without a frame" if receipt.is_gap else f"part {fg['part']}"
    made = ago(receipt.claims["iat_ms"])
    data.print(f"{safe(what)} is [bold]{safe(fg['outcome'])}[/], {made}.", soft_wrap=True)
    for sentence in why_so(receipt):  # what is copied is not broken
        data.print(safe(sentence), soft_wrap="framegate " in sentence)


def _receipt(operator: OperatorContext, verdict_id: str) -> VerifiedReceipt:
    return one_receipt(operator, verdict_id).verified


def _draw(operator: OperatorContext, receipt: VerifiedReceipt, picture: Path) -> None:
    nothing = Refused.of(
        Reason.NOT_FOUND, "a gateway with that verdict", "none", "framegate verdict list"
    )
    request = pb.PictureRequest(verdict_id=receipt.claims["cti"])
    maker = receipt.claims["iss"]
    device, reply = first_answer(operator, lambda s: s.ShowVerdict(request), nothing, of=maker)
    write_private(picture, reply.png)
    talk.print(f"{safe(picture)} from {safe(device)}")


_ROOMY: Final = 100
"""Columns from which on parts and cameras have long names and room for them."""
_COLUMNS = ("when", "part", "camera", "outcome", "what", "verdict")


def _row(v: Verdict) -> tuple[str, ...]:
    with reading("a verdict's defects, with kind and score"):
        what = v.reason or ", ".join(
            f"{d.get('kind')} {float(d.get('score', 0)):.2f}" for d in v.defects[:4]
        ) + (" …" if len(v.defects) > 4 else "")
    if v.stage:
        what = f"{what} ({v.stage}: not diverted)".strip()
    return (
        ago(v.issued_at_ms),
        v.part,
        v.device.split(".")[-1],
        v.outcome,
        what,
        short_id(v.verdict_id),
    )
