"""`framegate verdict confirm`, `reject`, `reviews`: what a person says of a verdict afterwards, and
what becomes of it: a review set in the signed record, and figures of each line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Refused, Unavailable
from framegate.record.reviews import figures_of, reviews_of
from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import gateway_stub, gateways, load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output
from framegate_operator.output import ago, errors, moment_ms, short_id, show_table
from framegate_operator.record_answers import entries_of, working_out
from framegate_operator.verdict_names import VerdictName, handed_out, verdict_named
from framegate_proto.v1 import framegate_pb2 as pb

LOOKED_AT: Final = 500
"""Latest verdicts of each gateway among which the one is looked for."""
Note = Annotated[str, typer.Option(help="What was seen on the part; stands in the record.")]


def confirm(verdict_id: VerdictName, note: Note = "", context: Context = None) -> None:
    """Say that a verdict was right, after a look at the part."""
    _review(verdict_id, note, context, right=True)


def reject(verdict_id: VerdictName, note: Note = "", context: Context = None) -> None:
    """Say that a verdict was wrong, after a look at the part: a PASS on a bad part is an escape, a
    DEFECT on a good one a false call. No model learns from it by itself.
    """
    _review(verdict_id, note, context, right=False)


def reviews(
    since: Annotated[str, typer.Option(help="Only what was said since: 30d, 2026-11-01.")] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """The last word on each reviewed verdict, out of the record, and escapes and false calls of
    each line.
    """
    with errors():
        since_ms = moment_ms(since) if since else 0
        with working_out():
            said = [r for r in reviews_of(_logged(context)) if r.at_ms >= since_ms]
            figures = figures_of(said)
        if output == "json":
            show_json({"reviews": [asdict(r) for r in said], "lines": [asdict(f) for f in figures]})
            return
        show_table(
            ("when", "verdict", "part type", "outcome", "was", "by", "note"),
            [
                (
                    ago(r.at_ms),
                    short_id(r.verdict_id),
                    r.part_type,
                    f"{r.outcome} {r.reason}".strip(),
                    "right" if r.right else "WRONG",
                    r.reviewer.split(".")[-1],
                    r.note,
                )
                for r in said
            ],
            empty="no verdict was reviewed since then"
            if since_ms
            else "no verdict was reviewed: framegate verdict confirm ID, or reject",
        )
        for f in figures:
            talk.print(
                f"{safe(f.zone)}: {f.reviewed} reviewed, {f.escapes} escapes, {f.false_calls} false"
                f" calls, {f.withheld_good} good ones withheld"
            )


def _review(named: str, note: str, context: Path | None, *, right: bool) -> None:
    with errors():
        operator = load_context(context)
        envelope = _envelope(operator, verdict_named(operator, named))
        request = pb.ReviewVerdictRequest(verdict=envelope, right=right, note=note)
        with operator_stub(operator) as stub:
            reply = stub.ReviewVerdict(request)
        said = "right" if right else "wrong"
        talk.print(f"{safe(reply.outcome)} {short_id(reply.verdict_id)} was {said}: in the record")
        talk.print("next: framegate verdict reviews")


def _envelope(operator: OperatorContext, named: str) -> bytes:
    """The one verdict that is called so, as its gateway signed it, verified. Raises Refused
    (NOT_FOUND) where every gateway said that it has none, Unavailable where one did not answer.
    """
    alike: dict[str, bytes] = {}
    endpoints, silent = gateways(operator), list[str]()
    for device, address in endpoints:
        try:
            with gateway_stub(operator, device, address) as stub:
                envelopes = stub.ListVerdicts(pb.ListVerdictsRequest(limit=LOOKED_AT)).verdicts
        except Unavailable:
            silent.append(device)
            continue
        for each in handed_out(operator, device, envelopes).signed:
            if named and each.verdict.verdict_id.startswith(named):
                alike[each.verdict.verdict_id] = each.envelope
    if len(alike) != 1:
        wanted = f"one verdict of the last {LOOKED_AT} of a gateway"
        if not alike and (silent or not endpoints):
            seen = f"unknown: {', '.join(silent) or 'no gateway'} does not answer"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, "framegate gateway list")
        seen = "none of that id" if not alike else f"{len(alike)} whose ids begin so"
        raise Refused.of(Reason.NOT_FOUND, wanted, seen, "framegate verdict list")
    return next(iter(alike.values()))


def _logged(context: Path | None) -> Iterator[Mapping[str, Any]]:
    with operator_stub(load_context(context)) as stub:
        size = stub.LogHead(pb.LogHeadRequest()).size
        yield from entries_of(stub.ReadLog(pb.ReadLogRequest(limit=size), stream=True))
