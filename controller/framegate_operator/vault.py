"""`framegate data`, `frame`, `dataset`: what gateways keep, what may leave, what must go."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import EvidenceRejected, FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import Purpose as P
from framegate.identity.certificates import from_ms, verify_certificate
from framegate.receipt_verifier import ReceiptRefused, verify_receipt
from framegate.signed.dsse import envelope_certificate, parse_envelope, verify_envelope
from framegate_host.console import EXIT_UNAVAILABLE, confirm, safe, show_failures, show_json, talk
from framegate_host.private_files import private_folder, require_place, write_private
from framegate_operator.answers import json_object, reading
from framegate_operator.connection import (
    approvals,
    first_answer,
    gateway_stub,
    gateways,
    load_context,
    with_approval,
)
from framegate_operator.contexts import OperatorContext
from framegate_operator.machines import device_named, short_names
from framegate_operator.one_receipt import maker_of, signed_here
from framegate_operator.options import WRITE, Context, Output, read, write
from framegate_operator.output import ago_ms, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

vault = typer.Typer(no_args_is_help=True, help="Frames that gateways keep, encrypted.")
frames = typer.Typer(no_args_is_help=True, help="Single frames out of the vault.")
datasets = typer.Typer(no_args_is_help=True, help="Data sets out of the vault.")
DATASET_TYPE = "application/vnd.framegate.dataset+json"
_HOUR_MS = 3_600_000
"""The same command a little later asks for the same: an approval is of exactly that."""
Reason_ = Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")]
Destination = Annotated[
    str, typer.Option("--to", help="Where it goes; must be allowed on the gateway (--export-to).")
]


@vault.command()
@read
def status(output: Output = "table", context: Context = None) -> None:
    """What each gateway's vault holds, by camera, day and outcome."""
    with errors():
        operator, rows, states = load_context(context), list[dict[str, Any]](), dict[str, str]()
        silent = 0
        for device, address in gateways(operator):
            try:
                with gateway_stub(operator, device, address) as stub:
                    reply = stub.DataStatus(pb.ListRequest())
            except Unavailable as error:
                silent += 1
                states[device] = f"unknown: {error.failures[0].actual}"
                continue
            states[device] = reply.vault + (
                f", {reply.dropped} frames not kept" if reply.dropped else ""
            )
            rows += [
                {
                    "gateway": device,
                    "camera": r.camera,
                    "day": r.day,
                    "outcome": r.outcome,
                    "frames": r.frames,
                    "bytes": r.bytes,
                    "erased": r.erased,
                    "expires_ms": r.expires_ms,
                }
                for r in reply.rows
            ]
        if output == "json":
            show_json({"vaults": states, "rows": rows})
            return
        for device, state in states.items():
            talk.print(f"{safe(device)}: vault {safe(state)}")
        names = short_names(r["camera"] for r in rows)
        show_table(
            ("camera", "day", "outcome", "frames", "size", "until"),
            [
                (
                    names[r["camera"]],
                    r["day"],
                    r["outcome"],
                    r["frames"],
                    f"{r['bytes'] / 1e6:.1f} MB",
                    _until(r),
                )
                for r in rows
            ],
            empty="unknown: not every gateway answers"
            if silent
            else "no gateway that stands keeps a frame",
        )
        if silent:
            raise typer.Exit(EXIT_UNAVAILABLE)


def _until(row: dict[str, Any]) -> str:
    return (
        "erased" if row["erased"] else f"{datetime.fromtimestamp(row['expires_ms'] / 1000, UTC):%F}"
    )


@vault.command()
@write
def erase(
    camera: Annotated[str, typer.Argument(help="The camera's name or id.")],
    reason: Reason_,
    day: Annotated[str, typer.Option(help="Only this day, YYYY-MM-DD (UTC).")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    context: Context = None,
) -> None:
    """Erase a camera's keys on every gateway: its frames are gone, wherever copies of them lie."""
    with errors():
        operator, problem, keys, count = load_context(context), None, 0, 0
        camera, failed = device_named(operator, camera, "camera"), dict[str, FramegateError]()
        if not yes:
            confirm(f"Erase all frames of {camera} {day or 'of every day'}, for ever?")
        for device, address in gateways(operator):
            try:
                with gateway_stub(operator, device, address) as stub:
                    reply = stub.EraseData(pb.EraseRequest(camera=camera, day=day, reason=reason))
                keys, count = keys + reply.keys, count + reply.frames
            except FramegateError as error:
                problem = error
                if error.reason != Reason.NOT_FOUND:
                    failed[device] = error
        if WRITE.get().dry_run and problem is None:
            return
        if not keys:
            raise problem or Refused.of(
                Reason.NOT_FOUND, "frames of that camera", "none", "framegate data status"
            )
        talk.print(f"{keys} keys erased, {count} frames are gone")
        for device, refusal in failed.items():
            talk.print(f"[red]{safe(device)} did not erase[/]: what it keeps is still there")
            show_failures(refusal.failures)
        if failed:
            raise typer.Exit(EXIT_UNAVAILABLE)


@frames.command("export")
@write
def export_frame(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Verdict id.")],
    reason: Reason_,
    to: Destination,
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    context: Context = None,
) -> None:
    """Take one frame out: masked, counted against your quota, marked with its receipt, recorded for
    ever.
    """
    with errors():
        require_place(out)
        operator = load_context(context)
        nothing = Refused.of(
            Reason.NOT_FOUND, "a gateway with that frame", "none", "framegate verdict list"
        )
        # an approval is for one gateway: the one that made the verdict
        asked = pb.LineageRequest(id=identifier)
        maker = maker_of(operator, identifier)
        device, _ = first_answer(operator, lambda s: s.Lineage(asked), nothing, of=maker)
        with gateway_stub(operator, device, dict(gateways(operator))[device]) as stub:
            request = pb.ExportRequest(id=identifier, reason=reason, destination=to)
            reply = with_approval(
                operator,
                device,
                "frame.export",
                request,
                stub.ExportFrame,
            )
        if WRITE.get().dry_run:
            return
        _require_receipt(reply.receipt, operator, None)
        write_private(out, reply.image)
        talk.print(
            f"{safe(out)} from {safe(device)}; {reply.quota_left} frames left of today's quota"
        )


@datasets.command("export")
@write
def export_dataset(  # noqa: PLR0913 - a command's options
    camera: Annotated[str, typer.Argument(help="The camera's name or id.")],
    reason: Reason_,
    to: Destination,
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    trusted_only: Annotated[
        bool,
        typer.Option(
            "--trusted-only", help="Must be given: only frames with a valid receipt leave."
        ),
    ] = False,
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 8h, 7d.")] = "1d",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    context: Context = None,
) -> None:
    """Take a camera's frames out as a data set: each with its receipt, verified here again, under a
    manifest that the gateway signed.
    """
    with errors():
        if not trusted_only:
            raise Refused.of(
                Reason.USAGE,
                "--trusted-only",
                "nothing",
                "frames without a valid receipt never become training data; say so",
            )
        operator = load_context(context)
        camera = device_named(operator, camera, "camera")
        endpoints = gateways(operator)
        if out.exists() and any(out.iterdir()):
            raise Refused.of(
                Reason.CONFLICT, f"an empty folder {out}", "files in it", "choose another"
            )
        if not endpoints:
            hint = "framegate gateway list"
            raise Refused.of(Reason.NOT_FOUND, "a gateway in standing", "none", hint)
        private_folder(out)
        request = pb.ExportRequest(
            camera=camera,
            since_ms=ago_ms(since) // _HOUR_MS * _HOUR_MS,
            limit=limit,
            reason=reason,
            destination=to,
        )
        total, problem = _from_every(operator, endpoints, request, out)
        if WRITE.get().dry_run:
            return
        if not total:
            hint = "framegate receipt verify says why"
            nothing = Refused.of(Reason.NOT_FOUND, "frames with a valid receipt", "none", hint)
            raise problem or nothing


def _from_every(
    operator: OperatorContext,
    endpoints: list[tuple[str, str]],
    request: pb.ExportRequest,
    out: Path,
) -> tuple[int, FramegateError | None]:
    """(frames of all gateways, what the last gateway said that had none).

    One approval serves all gateways of a zone, and is asked for at the first that wants it.
    """
    problem, total, given = None, 0, dict[str, bytes]()
    for device, address in endpoints:
        part = partial(_dataset, operator, device, address, out)
        request.approval = given.get(device, b"")
        try:
            try:
                total += part(request)
            except Refused as error:
                asked = error.reason == Reason.APPROVAL_NEEDED and device not in given
                if not asked or WRITE.get().dry_run:
                    raise
                beside = [d for d, _ in endpoints if d.split(".")[1] == device.split(".")[1]]
                request.approval = b""
                given |= approvals(operator, beside, "dataset.export", request, error)
                request.approval = given[device]
                total += part(request)
        except FramegateError as error:
            if error.reason != Reason.NOT_FOUND:
                raise
            problem = error
    return total, problem


def _dataset(
    operator: OperatorContext, device: str, address: str, out: Path, request: pb.ExportRequest
) -> int:
    """One gateway's part of a data set, written to `out`; how many frames."""
    digests: dict[str, str] = {}
    with gateway_stub(operator, device, address) as stub:
        for reply in stub.ExportDataset(request, stream=True):
            if reply.manifest:
                count, refused = _manifest(reply.manifest, digests, operator)
                write_private(out / f"{device}.manifest.json", reply.manifest)
                talk.print(
                    f"{count} frames from {safe(device)} in {safe(out)}, {refused} left behind "
                    "for want "
                    f"of a valid receipt; manifest {safe(device)}.manifest.json"
                )
                continue
            verdict = _require_receipt(reply.receipt, operator, reply.image)
            name = Path(reply.name).name
            write_private(out / name, reply.image)
            write_private((out / name).with_suffix(".receipt.json"), reply.receipt)
            boxes = (
                " ".join(str(round(v)) for v in d["box"]) + f" {d['kind']}"
                for d in verdict["defects"]
            )
            write_private(
                (out / name).with_suffix(".txt"), "".join(f"{b}\n" for b in boxes).encode()
            )
            digests[reply.name] = hashlib.sha256(reply.image).hexdigest()
    return len(digests)


def _require_receipt(raw: bytes, operator: OperatorContext, image: bytes | None) -> dict[str, Any]:
    """The verdict of a receipt that holds, over `image` where one is given. Raises
    EvidenceRejected.
    """
    try:
        if image is None:
            return signed_here(json.loads(raw), operator.root).verdict
        receipt = verify_receipt(json.loads(raw), operator.root)
        if receipt.claims["request_hash"] != hashlib.sha256(image).hexdigest():
            raise ReceiptRefused("frame", "the receipt is for another frame")
    except (ReceiptRefused, ValueError) as error:
        raise EvidenceRejected.of(
            Reason.RECEIPT,
            "a frame with a receipt that holds",
            error,
            "do not use what this gateway gives out",
        ) from error
    return receipt.verdict


def _manifest(raw: bytes, digests: dict[str, str], operator: OperatorContext) -> tuple[int, int]:
    """(frames, frames left behind) of a signed manifest that names exactly what came. Raises what
    verification says.
    """
    envelope = parse_envelope(raw, DATASET_TYPE)
    certificate = envelope_certificate(envelope)
    at = min(
        max(datetime.now(UTC), certificate.not_valid_before_utc), certificate.not_valid_after_utc
    )
    signer = verify_certificate(
        certificate, P.VERDICT, operator.authority_certificates, operator.root_certificate, at
    )
    body = json_object(verify_envelope(envelope, signer.key), "a manifest")
    with reading("a manifest with frames, made_at_ms and refused"):
        named, made_at = (
            {f["name"]: f["sha256"] for f in body["frames"]},
            from_ms(body["made_at_ms"]),
        )
        refused = int(body["refused"])
    lives = certificate.not_valid_before_utc <= made_at <= certificate.not_valid_after_utc
    if named != digests or not lives:
        raise EvidenceRejected.of(
            Reason.EXPORT,
            "a manifest of exactly the frames that came",
            "another",
            "do not use this data set",
        )
    return len(digests), refused
