"""`framegate mask …`: regions that a camera blanks before it encodes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement, parse_masks, parse_regions
from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Privacy masks: what a camera never shows to anyone.")


def read_regions(file: Path, reason: Reason, *, channels: bool = False) -> list[Any]:
    """[{points}] out of a TOML file of [[region]] tables, and {channel} with `channels`. Raises
    Malformed (`reason`, MASK).
    """
    try:
        body = tomllib.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise Malformed.of(reason, "TOML with [[region]] tables", f"{file}: {error}") from error
    regions = body.get("region", [])
    if set(body) - {"region"} or not isinstance(regions, list):
        raise Malformed.of(reason, "only [[region]] tables", ", ".join(sorted(body)))
    if channels:
        parse_masks(regions)
    else:
        parse_regions(regions)
    return regions


def regions_text(regions: Sequence[Mapping[str, Any]]) -> str:
    """`regions`, [{points}], as `read_regions` reads them."""
    tables = [
        f"[[region]]\npoints = {json.dumps([[float(x), float(y)] for x, y in region['points']])}\n"
        for region in regions
    ]
    return "\n".join(tables)


@app.command("set")
@write
def set_(
    camera: str,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="TOML: [[region]] points = [[x, y], …], fractions of width and height, or"
            ' channel = "NAME", of a series.',
        ),
    ],
    context: Context = None,
) -> None:
    """Put masks in force. There is no unmasking: what is blanked is gone before the frame leaves
    the camera.
    """
    with errors():
        regions = read_regions(file, Reason.MASK, channels=True)
        with operator_stub(load_context(context)) as stub:
            reply = stub.SetMasks(
                pb.SetMasksRequest(device=camera, regions=json.dumps(regions).encode())
            )
        talk.print(
            f"{safe(reply.device)}: masks version {reply.version}, {len(regions)} regions; frames"
            " under older masks are refused from its next grant on"
        )


@app.command()
@read
def show(camera: str, output: Output = "table", context: Context = None) -> None:
    """A camera's masks in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ShowMasks(pb.DeviceRequest(device=camera))
        regions = (
            MaskStatement.parse_payload(
                parse_envelope(reply.envelope, MaskStatement.TYPE).payload
            ).regions
            if reply.envelope
            else ()
        )
        if output == "json":
            show_json({"camera": reply.device, "version": reply.version, "regions": list(regions)})
            return
        talk.print(f"{safe(reply.device)}: version {reply.version}")
        show_table(
            ("region", "corners, or a channel"),
            [(n, _region_words(r)) for n, r in enumerate(regions, start=1)],
            empty="nothing is masked: framegate mask set",
        )


def _region_words(region: Mapping[str, Any]) -> str:
    if "channel" in region:
        return f"channel {safe(region['channel'])}"
    return " ".join(f"{x:g},{y:g}" for x, y in region["points"])
