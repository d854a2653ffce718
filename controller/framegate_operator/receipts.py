"""`framegate receipt …`: proofs of verdicts, fetched from gateways and verified here or anywhere,
with nothing but the fleet's root.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import (
    FramegateError,
    Malformed,
    Reason,
    Refused,
)
from framegate.payload.contract import PICTURE_NAME
from framegate.receipt_verifier import (
    VerifiedReceipt,
    of_words,
    skipped_triggers,
)
from framegate_host.console import EXIT_UNAVAILABLE, EXIT_UNTRUSTED, safe, show_json, talk, typed
from framegate_host.private_files import replacing_private, write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.machines import device_named
from framegate_operator.one_receipt import one_receipt
from framegate_operator.options import Context, Output, read
from framegate_operator.output import (
    ago,
    data,
    errors,
    moment_ms,
    short_id,
    show_table,
)
from framegate_operator.receipt_export import (
    nothing_of_time,
    range_of,
    receipts_of_time,
)
from framegate_operator.receipt_files import (
    Checked,
    Verifier,
    Wholeness,
    check_files,
    of_this_fleet,
    told_alike,
    wholeness,
)
from framegate_operator.site_receipts import receipts_of_sites
from framegate_operator.verdict_names import VerdictName, verdict_named
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Proofs of verdicts.")
MAX_TOLD = 50
"""Reasons that are told one by one; more nobody reads."""
_COUNTERS_TOLD = 20


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
        verified = one_receipt(operator, verdict_named(operator, identifier)).verified
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
        short = short_id(verified.claims["cti"])
        talk.print(f"next: framegate lineage show {short}; whole digests: -o json")


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
        *([("stage", f"{fg['stage']}: its zone diverts nothing")] if fg.get("stage") else []),
        ("defects", defects or "none"),
        ("part", f"{fg['part']} ({fg['part_type']}), trigger {fg['trigger_sequence']}"),
        ("payload", fg.get("payload_kind") or PICTURE_NAME),
        ("made", f"{_time(claims['iat_ms'])}, {ago(claims['iat_ms'])}"),
        ("gateway", claims["iss"]),
        ("camera", fg["device"]),
        ("frame", short_id(claims["request_hash"]) or "none"),
        ("masks", masks),
        ("evidence", short_id(claims["attestation_doc_hash"]) or "none"),
        ("quote", short_id(result["quote_sha256"]) if result else no_quote),
        ("firmware profile", f"{fg['firmware_profile']} {short_id(fg['firmware_profile_sha256'])}"),
        (
            "policy decision",
            f"{claims['policy_version']} {short_id(fg['grant_sha256'])}",
        ),
        ("model", f"{claims['model_id']} {short_id(claims['model_hash'])}"),
        ("isolation", fg.get("isolation") or "not told"),
        ("provider", fg.get("provider") or "not told"),
        ("second looks", _guards(fg)),
        ("golden image", short_id(fg["golden_sha256"]) or "none"),
        ("inspected", _inspected(fg)),
        ("receipt", short_id(claims["cti"])),
        ("batch", f"{verified.batch['number']}, leaf {claims['sequence_number']}"),
        ("log", _time(verified.logged_at_ms) if verified.logged_at_ms else "not yet"),
        ("camera's signature", head),
        ("notes", "; ".join(verified.notes) or "complete"),
    ]


def _guards(fg: Mapping[str, Any]) -> str:
    """By which looks a frame was held, those of a later version too, and against what none is."""
    looks = ", ".join(str(name) for name in fg.get("guarded_by", ()))
    return f"{looks}; not against {fg.get('guards_not_against')}" if looks else "none"


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
        str, typer.Argument(metavar="[ID]", help="One verdict; default: all of a time.")
    ] = "",
    camera: Annotated[str, typer.Option(help="Receipts of this camera alone.")] = "",
    since: Annotated[
        str, typer.Option(help="From when on: 90s, 10m, 8h, 7d ago, or 2026-11-26T06:00.")
    ] = "1h",
    until: Annotated[str, typer.Option(help="Until when, given like --since; default: now.")] = "",
    limit: Annotated[
        int, typer.Option(min=0, help="The newest of them alone; 0: all of that time.")
    ] = 0,
    context: Context = None,
) -> None:
    """Write receipts to a file that anyone can verify offline: framegate receipt verify FILE --root
    ROOT.pem.
    """
    with errors():
        operator = load_context(context)
        request = pb.ReceiptsRequest(
            camera=device_named(operator, camera, "camera"),
            since_ms=moment_ms(since),
            until_ms=moment_ms(until) if until else 0,
        )
        if until and request.until_ms <= request.since_ms:
            hint = "--since 8h --until 2h: from eight hours ago to two hours ago"
            raise Malformed.of(Reason.USAGE, "--until after --since", f"{since}, {until}", hint)
        count, silent = 0, list[str]()
        with replacing_private(out) as file:
            rows = receipts_of_time(operator, request, limit, silent)
            for receipt in [one_receipt(operator, identifier).receipt] if identifier else rows:
                file.write(json.dumps(receipt, separators=(",", ":")).encode() + b"\n")
                count += 1
            if not count:
                raise nothing_of_time(silent)
            if not identifier and count != limit:
                file.write(range_of(request, silent).line())
        root = out.with_suffix(".root.pem")
        write_public(root, operator.root)
        if count == limit:
            talk.print(
                f"[yellow]--limit {limit} is reached: older ones of that time may be left[/]"
            )
        talk.print(
            f"{count} receipts in {safe(out)}, the fleet's root in {safe(root)}; "
            f"verify: framegate receipt verify {typed(out)} --root {typed(root)}"
        )


@app.command()
def verify(  # noqa: PLR0913 - a command's options
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of receipts.")
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="The fleet's root certificate; default: the one in your context."),
    ] = None,
    site: Annotated[
        str, typer.Option(help="They are of this other site: by what is pinned of it here, now.")
    ] = "",
    any_site: Annotated[
        bool, typer.Option("--any-site", help="They are of any site that counts here.")
    ] = False,
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
            help="The files hold all receipts of their time, or of their sessions: frames without "
            "one are reported, and triggers that no frame came for are counted.",
        ),
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Verify receipts offline. Exit code 6 where one does not hold or a frame is missing, 7 where
    nothing is wrong and a proof is not there so far.
    """
    with errors():
        needed = {"need_camera": not without_camera, "need_log": not without_log}
        if site or any_site:
            _one_anchor(root, site, any_site=any_site)
            sites = receipts_of_sites(load_context(context), site, **needed)
            verify_one: Verifier = sites.verify
        else:
            root_pem = root.read_bytes() if root else load_context(context).root
            verify_one = of_this_fleet(root_pem, **needed)
        begun = time.perf_counter()
        checked = check_files(files, verify_one)
        gone = wholeness(checked) if whole else Wholeness({}, {})
        gaps = skipped_triggers([*checked.good, *checked.so_far]) if whole else ()
        took = time.perf_counter() - begun
        if output == "json":
            show_json(
                {
                    "good": len(checked.good),
                    "sites": {name: n for name, n in checked.sites.items() if name},
                    "pending": [asdict(row) for row in checked.pending],
                    "refused": [asdict(row) for row in checked.refused],
                    "missing_frames": {s: list(c) for s, c in gone.missing.items()},
                    "outside": {s: len(c) for s, c in gone.outside.items()},
                    "silent": sorted({g for r in checked.ranges for g in r.silent}),
                    "skipped_triggers": list(gaps),
                    "seconds": round(took, 3),
                }
            )
        else:
            _tell_gaps(gaps)
            _tell(checked, gone, took)
        if checked.refused or gone.missing:
            raise typer.Exit(EXIT_UNTRUSTED)
        if checked.pending:
            talk.print("what is pending proves nothing more so far; export it again later")
            raise typer.Exit(EXIT_UNAVAILABLE)
        if not checked.good:
            hint = "framegate receipt export --out FILE"
            raise Refused.of(Reason.NOT_FOUND, "receipts in the files", "none", hint)


def _one_anchor(root: Path | None, site: str, *, any_site: bool) -> None:
    if root or (site and any_site):
        hint = "--root verifies by a file, --site and --any-site by what is pinned here"
        raise Malformed.of(Reason.USAGE, "one of --root, --site, --any-site", "several", hint)


def _tell_gaps(gaps: Sequence[dict[str, Any]]) -> None:
    for gap in gaps[:MAX_TOLD]:
        where = f"{safe(gap['device'])} source {safe(gap['source'])}"
        data.print(
            f"[yellow]SKIPPED[/] {where}: {gap['count']} triggers of {gap['first']} to "
            f"{gap['last']} had no frame; each is UNINSPECTED"
        )


def _tell(checked: Checked, whole: Wholeness, took_s: float) -> None:
    for why, where in list(told_alike(checked.refused))[:MAX_TOLD]:
        data.print(f"[red]REFUSED[/] {safe(where)}: {safe(why)}")
    for why, where in list(told_alike(checked.pending))[:MAX_TOLD]:
        data.print(f"[yellow]PENDING[/] {safe(where)}: {safe(why)}")
    for session, counters in whole.missing.items():
        data.print(
            f"[red]MISSING[/] session {session}: the camera signed for frames {_some(counters)}, "
            "got an answer, and there is no receipt: the gateway dropped them, they went by its "
            "--receipt-quota, or they are in none of these files"
        )
    for session, counters in whole.outside.items():
        data.print(
            f"session {session}: {len(counters)} frames ({_some(counters)}) are not of the time "
            "that was exported, or cannot be told from such: nothing is said of them"
        )
    for gateway in sorted({g for r in checked.ranges for g in r.silent}):
        data.print(
            f"[yellow]{safe(gateway)} did not answer when this was exported[/]: "
            "its receipts are not here"
        )
    for name, number in sorted(checked.sites.items()):
        if name:
            data.print(f"of site {safe(name)}: {number}")
    missing = sum(len(c) for c in whole.missing.values())
    count = len(checked.good) + len(checked.pending) + len(checked.refused)
    held = f"{len(checked.good)} of {count} receipts hold"
    waits = f", {len(checked.pending)} are pending" if checked.pending else ""
    data.print(
        f"{held}{waits}, {len(checked.refused)} are refused, {missing} frames missing, "
        f"{took_s:.2f} s"
    )


def _some(counters: Sequence[int]) -> str:
    more = ", …" if len(counters) > _COUNTERS_TOLD else ""
    return ", ".join(map(str, counters[:_COUNTERS_TOLD])) + more


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


def _inspected(fg: dict[str, Any]) -> str:
    share = fg.get("inspected_percent")
    return "not said" if share is None else f"{share} % of {of_words(fg.get('inspected_of', ''))}"
