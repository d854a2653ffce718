"""`framegate part commission`: limits of a part's second looks out of what a gateway measures of
sound frames, and a picture of what they come from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Malformed, Reason, Unavailable
from framegate.looks.commission import Proposal, propose
from framegate.looks.kinds import Look
from framegate.looks.limits import LEAST_SHARE, MAX_COMMISSION, MIN_COMMISSION, parse_limits
from framegate.signed.dsse import strict_json
from framegate_host.console import safe, talk, typed
from framegate_host.private_files import require_place, write_private
from framegate_operator.answers import camera_names, fingerprints, json_object, measured_looks
from framegate_operator.connection import gateway_stub, load_context, with_approval
from framegate_operator.distributions import bars, drawn
from framegate_operator.options import WRITE, Context
from framegate_operator.output import errors
from framegate_operator.part_types import file_name, one_gateway
from framegate_proto.v1 import framegate_pb2 as pb

DEFAULT_FRAMES: Final = 240
"""A few more than the least: some will be left out."""
MAX_FILE_BYTES: Final = 64 * 1024
_MEMBERS: Final = frozenset({"part_type", "gateway", "cameras", "looks"})


def commission(
    part_type: Annotated[str, typer.Argument(help="The part type's id, as cameras send it.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Limits to write; default: TYPE.looks.json, and TYPE.looks.svg."
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(min=MIN_COMMISSION, max=MAX_COMMISSION, help="Sound frames to measure."),
    ] = DEFAULT_FRAMES,
    share: Annotated[
        float,
        typer.Option(
            min=LEAST_SHARE, max=1, help="Of how many PASS frames the network is asked again."
        ),
    ] = 1.0,
    gateway: Annotated[
        str, typer.Option(help="The gateway that sees the part; default: the only one.")
    ] = "",
    wait_s: Annotated[
        int, typer.Option("--for", min=1, max=3600, help="Seconds to wait for frames.")
    ] = 600,
    context: Context = None,
) -> None:
    """Measure sound frames of a part and propose limits for its second looks; read what it warns
    of, look at the picture, then: framegate part add --looks.
    """
    with errors():
        target = out or Path(file_name(part_type)).with_suffix(".looks.json")
        require_place(target)
        operator = load_context(context)
        device, address = one_gateway(operator, gateway)
        request = pb.CommissionPartRequest(
            part_type=part_type, frames=frames, timeout_s=wait_s, reason=WRITE.get().reason
        )
        with gateway_stub(operator, device, address, timeout_s=wait_s + 30) as stub:
            measured = with_approval(
                operator,
                device,
                "part.commission",
                request,
                lambda asked: _collected(stub, asked, safe(device)),
            )
        if WRITE.get().dry_run:
            return
        body = json_object(measured, "what the gateway measured")
        proposal = propose(measured_looks(body), share, fingerprints(body))
        cameras = camera_names(body)
        _write(target, part_type, device, cameras, proposal)
        _tell(target, part_type, cameras, proposal)


def read_looks(path: Path, part_type: str) -> list[dict[str, Any]]:
    """Limits out of a file that `part commission` wrote for this part. Raises Malformed, Refused
    (PART): limits of another part say nothing about this one.
    """
    raw = path.read_bytes()
    body = strict_json(raw) if len(raw) <= MAX_FILE_BYTES else None
    if type(body) is not dict or set(body) != _MEMBERS or type(body["looks"]) is not list:
        raise Malformed.of(
            Reason.PART, f"limits as part commission writes them, in {path}", ascii(body)[:60]
        )
    if body["part_type"] != part_type:
        wanted, hint = f"limits of {part_type}", "framegate part commission"
        raise Malformed.of(Reason.PART, wanted, ascii(body["part_type"])[:60], hint)
    return [limit.row() for limit in parse_limits(body["looks"])]


def _collected(stub: Any, request: pb.CommissionPartRequest, gateway: str) -> bytes:
    """The numbers; how far it is, is told meanwhile. Raises Unavailable where it breaks off."""
    measured, left_out = b"", 0
    where = f"frames of {safe(request.part_type)} at {gateway}"
    with talk.status(f"waiting for {request.frames} {where}") as progress:
        for reply in stub.CommissionPart(request, stream=True):
            left_out = reply.left_out
            seen = f"{reply.counted} of {request.frames} {where}"
            progress.update(f"{seen}, {left_out} with detections")
            measured = reply.measured or measured
    if not measured and not WRITE.get().dry_run:
        raise Unavailable.of(Reason.UNAVAILABLE, "what the gateway measured", "it broke off")
    if left_out:
        talk.print(f"{left_out} frames with detections were not counted")
    return measured


def _write(
    target: Path, part_type: str, device: str, cameras: Sequence[str], proposal: Proposal
) -> None:
    body = {
        "part_type": part_type,
        "gateway": device,
        "cameras": list(cameras),
        "looks": [limit.row() for limit in proposal.limits],
    }
    write_private(target, json.dumps(body, indent=1).encode())
    write_private(target.with_suffix(".svg"), drawn(part_type, proposal.distributions).encode())


def _tell(target: Path, part_type: str, cameras: Sequence[str], proposal: Proposal) -> None:
    for line in bars(proposal.distributions):
        talk.print(safe(line))
    for warning in proposal.warnings:
        talk.print(f"[yellow]warning[/] {safe(warning)}")
    missing = [look for look in Look if look not in {one.look for one in proposal.limits}]
    if missing:
        talk.print(f"[yellow]not guarded by[/] {', '.join(missing)}")
    talk.print(
        f"{len(proposal.limits)} looks, from {safe(', '.join(cameras))}: {safe(target)}, picture"
        f" {safe(target.with_suffix('.svg'))}"
    )
    talk.print(f"next: framegate part add {typed(part_type)} --keep --looks {typed(target)}")
