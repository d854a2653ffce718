"""`framegate receipt …`: proofs of verdicts, fetched from gateways and verified here or anywhere,
with nothing but the fleet's root.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import EvidenceRejected, FramegateError, Reason, Refused, Unavailable
from framegate.receipt_verifier import (
    ReceiptRefused,
    VerifiedReceipt,
    missing_frames,
    skipped_triggers,
    verify_receipt,
)
from framegate_host.console import EXIT_UNTRUSTED, safe, show_json, talk
from framegate_host.private_files import replacing_private, write_public
from framegate_operator.connection import gateway_stub, gateways, load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, ago_ms, data, errors, show_table
from framegate_operator.verdict_names import VerdictName, verdict_named
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Proofs of verdicts.")
MAX_TOLD = 50
"""Refused receipts that are told one by one; more nobody reads."""
MAX_FILE_BYTES = 1024**3
"""An export of some hundred thousand receipts; more is exported by time."""


@app.command()
@read
def show(
    identifier: VerdictName,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What one verdict rests on: frame, camera, quote, firmware profile, policy decision, model;
    verified before it is shown.
    """
    with errors():
        operator = load_context(context)
        receipt = _one(operator, verdict_named(operator, identifier))
        verified = _verified(receipt, operator.root, need_camera=False, need_log=False)
        result = _result(operator, verified.claims["fg"].get("result_id", ""))
        if output == "json":
            show_json(
                {
                    "claims": verified.claims,
                    "verdict": verified.verdict,
                    "logged_at_ms": verified.logged_at_ms,
                    "notes": list(verified.notes),
                    "result": result,
                }
            )
            return
        show_table(("what", "is"), _facts(verified, result), empty="")


def _facts(verified: VerifiedReceipt, result: dict[str, Any] | None) -> list[tuple[str, object]]:
    if verified.is_gap:
        return _gap_facts(verified)
    claims, fg = verified.claims, verified.claims["fg"]
    defects = ", ".join(f"{d['kind']} {d['score']:.2f}" for d in verified.verdict["defects"])
    masks, head = "none", "not yet"
    if fg["mask_version"]:
        masks = f"version {fg['mask_version']} {fg['mask_sha256'][:16]}"
    if verified.head_count:
        head = f"over {verified.head_count} frames, this is number {verified.counter}"
    no_quote = "framegate cannot reach the controller, or no frame was read"
    return [
        ("verdict", f"{fg['outcome']} {fg['reason']}".strip()),
        ("defects", defects or "none"),
        ("part", f"{fg['part']} ({fg['part_type']}), trigger {fg['trigger_sequence']}"),
        ("made", f"{_time(claims['iat_ms'])}, {ago(claims['iat_ms'])}"),
        ("gateway", claims["iss"]),
        ("camera", fg["device"]),
        ("frame", claims["request_hash"] or "none"),
        ("masks", masks),
        ("evidence", claims["attestation_doc_hash"] or "none"),
        ("quote", result["quote_sha256"] if result else no_quote),
        ("firmware profile", f"{fg['firmware_profile']} {fg['firmware_profile_sha256'][:16]}"),
        ("policy decision", f"{claims['policy_version']} {fg['grant_sha256'][:16]}"),
        ("model", f"{claims['model_id']} {claims['model_hash']}"),
        ("isolation", fg.get("isolation") or "not told"),
        ("golden image", fg["golden_sha256"] or "none"),
        ("inspected", _inspected(fg)),
        ("receipt", claims["cti"]),
        ("batch", f"{verified.batch['number']}, leaf {claims['sequence_number']}"),
        ("log", _time(verified.logged_at_ms) if verified.logged_at_ms else "not yet"),
        ("camera's signature", head),
        ("notes", "; ".join(verified.notes) or "complete"),
    ]


def _gap_facts(receipt: VerifiedReceipt) -> list[tuple[str, object]]:
    claims, fg = receipt.claims, receipt.claims["fg"]
    return [
        ("gap", f"{fg['outcome']} {fg['reason']}"),
        ("triggers", f"{fg['count']} of {fg['first']} to {fg['last']}: no frame came"),
        ("made", f"{_time(claims['iat_ms'])}, {ago(claims['iat_ms'])}"),
        ("gateway", claims["iss"]),
        ("camera", f"{fg['device']}, source {fg['source']}"),
        ("receipt", claims["cti"]),
        ("batch", f"{receipt.batch['number']}, leaf {claims['sequence_number']}"),
        ("log", _time(receipt.logged_at_ms) if receipt.logged_at_ms else "not yet"),
        ("notes", "; ".join(receipt.notes)),
    ]


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%FT%TZ}"


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write: one receipt a line.")],
    identifier: Annotated[
        str, typer.Argument(metavar="[ID]", help="One verdict; default: by --camera.")
    ] = "",
    camera: Annotated[str, typer.Option(help="All receipts of this camera's id.")] = "",
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 8h, 7d.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 1000,
    context: Context = None,
) -> None:
    """Write receipts to a file that anyone can verify offline: framegate receipt verify FILE --root
    ROOT.pem.
    """
    with errors():
        operator = load_context(context)
        request = pb.ReceiptsRequest(
            id=identifier, camera=camera, since_ms=0 if identifier else ago_ms(since), limit=limit
        )
        count = 0
        with replacing_private(out) as file:
            for receipt in [_one(operator, identifier)] if identifier else _all(operator, request):
                file.write(json.dumps(receipt, separators=(",", ":")).encode() + b"\n")
                count += 1
            if not count:
                raise Refused.of(Reason.NOT_FOUND, "receipts", "none", "framegate verdict list")
        root = out.with_suffix(".root.pem")
        write_public(root, operator.root)
        talk.print(
            f"{count} receipts in {out}, the fleet's root in {root}; "
            f"verify: framegate receipt verify {out} --root {root}"
        )


@app.command()
def verify(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of receipts.")
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="The fleet's root certificate; default: the one in your context."),
    ] = None,
    without_camera: Annotated[
        bool,
        typer.Option(
            "--without-camera",
            help="Accept receipts that the camera has not signed for: then the frame is the "
            "gateway's word.",
        ),
    ] = False,
    without_log: Annotated[
        bool,
        typer.Option(
            "--without-log",
            help="Accept receipts that are not in the controller's log: then their time is the "
            "gateway's word.",
        ),
    ] = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="The files hold all receipts of their sessions: frames without one are reported, "
            "and triggers that no frame came for are counted.",
        ),
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Verify receipts offline. Exit code 6 where one does not hold, or a frame is missing."""
    with errors():
        root_pem = root.read_bytes() if root else load_context(context).root
        begun = time.perf_counter()
        good, bad = _checked(
            files, root_pem, need_camera=not without_camera, need_log=not without_log
        )
        gone = {s: list(c) for s, c in (missing_frames(good) if whole else {}).items()}
        gaps = skipped_triggers(good) if whole else ()
        took = time.perf_counter() - begun
        if output == "json":
            show_json(
                {
                    "good": len(good),
                    "refused": bad,
                    "missing_frames": gone,
                    "skipped_triggers": list(gaps),
                    "seconds": round(took, 3),
                }
            )
        else:
            _tell_gaps(gaps)
            _tell(len(good), bad, gone, took)
        if bad or gone:
            raise typer.Exit(EXIT_UNTRUSTED)
        if not good:
            hint = "framegate receipt export"
            raise Refused.of(Reason.NOT_FOUND, "receipts in the files", "none", hint)


def _checked(
    files: list[Path], root: bytes, *, need_camera: bool, need_log: bool
) -> tuple[list[VerifiedReceipt], list[dict[str, Any]]]:
    """(receipts that hold, where and why others do not)."""
    good, bad = list[VerifiedReceipt](), list[dict[str, Any]]()
    for name, number, line in _lines(files):
        try:
            receipt = json.loads(line)
            good.append(verify_receipt(receipt, root, need_camera=need_camera, need_log=need_log))
        except (ReceiptRefused, ValueError) as error:
            check = getattr(error, "check", "format")
            bad.append({"file": name, "line": number, "check": check, "why": str(error)})
    return good, bad


def _tell_gaps(gaps: Sequence[dict[str, Any]]) -> None:
    for gap in gaps[:MAX_TOLD]:
        where = f"{safe(gap['device'])} source {safe(gap['source'])}"
        data.print(
            f"[yellow]SKIPPED[/] {where}: {gap['count']} triggers of {gap['first']} to "
            f"{gap['last']} had no frame; each is UNINSPECTED"
        )


def _tell(good: int, bad: list[dict[str, Any]], gone: dict[str, list[int]], took_s: float) -> None:
    for row in bad[:MAX_TOLD]:
        where = f"{safe(row['file'])} line {row['line']}"
        data.print(f"[red]REFUSED[/] {where}: {safe(row['why'])}")
    for session, counters in gone.items():
        shown = ", ".join(map(str, counters[:20]))
        data.print(
            f"[red]MISSING[/] session {session}: the camera signed for frames {shown}, got an "
            "answer, and there is no receipt: the gateway dropped them, they went by its "
            "--receipt-quota, or this is not the whole session"
        )
    missing = sum(len(c) for c in gone.values())
    summary = f"{good} of {good + len(bad)} receipts hold"
    data.print(f"{summary}, {missing} frames missing, {took_s:.2f} s")


def _all(operator: OperatorContext, request: pb.ReceiptsRequest) -> Iterator[dict[str, Any]]:
    for device, address in gateways(operator):
        try:
            with gateway_stub(operator, device, address) as stub:
                for reply in stub.Receipts(request, stream=True):
                    yield json.loads(reply.receipt)
        except Unavailable:
            talk.print(
                f"[yellow]{safe(device)} does not answer at {safe(address)}[/]: "
                "its receipts are not here"
            )


def _one(operator: OperatorContext, identifier: str) -> dict[str, Any]:
    problem: FramegateError | None = None
    for device, address in gateways(operator):
        try:
            with gateway_stub(operator, device, address) as stub:
                for reply in stub.Receipts(pb.ReceiptsRequest(id=identifier), stream=True):
                    return dict(json.loads(reply.receipt))
        except FramegateError as error:
            problem = error
    raise problem or Refused.of(
        Reason.NOT_FOUND, "a gateway with that receipt", "none", "framegate verdict list"
    )


def _verified(
    receipt: dict[str, Any], root: bytes, *, need_camera: bool, need_log: bool
) -> VerifiedReceipt:
    try:
        return verify_receipt(receipt, root, need_camera=need_camera, need_log=need_log)
    except ReceiptRefused as error:
        raise EvidenceRejected.of(
            Reason.RECEIPT,
            "a receipt that holds",
            error,
            "the gateway's answer proves nothing; look into its host",
        ) from error


def _result(operator: OperatorContext, result_id: str) -> dict[str, Any] | None:
    """The camera's Attestation Result behind a receipt, from the controller where it answers."""
    if not result_id:
        return None
    try:
        with operator_stub(operator) as stub:
            r = stub.Result(pb.ResultRequest(result_id=result_id))
    except FramegateError:
        return None
    return {
        "result_id": r.result_id,
        "device": r.device,
        "at_ms": r.at_ms,
        "evidence_sha256": r.evidence_sha256.hex(),
        "quote": base64.b64encode(r.quote).decode(),
        "quote_sha256": hashlib.sha256(r.quote).hexdigest(),
        "signature": base64.b64encode(r.signature).decode(),
        "ak_public": base64.b64encode(r.ak_public).decode(),
        "firmware_profile": r.firmware_profile,
        "firmware_profile_sha256": r.firmware_profile_sha256.hex(),
    }


def _lines(files: list[Path]) -> Iterator[tuple[str, int, bytes]]:
    for path in files:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Refused.of(
                Reason.TOO_LARGE,
                f"files of at most {MAX_FILE_BYTES} bytes",
                path.stat().st_size,
                "export by --since and --limit",
            )
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield path.name, number, line


def _inspected(fg: dict[str, Any]) -> str:
    share = fg.get("inspected_percent")
    return "not said" if share is None else f"{share} % of the picture"
