"""`framegate evidence keep`: evidence at the controller that is not to be forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, write
from framegate_operator.output import errors
from framegate_proto.v1 import framegate_pb2 as pb


@write
def keep(
    name: Annotated[str, typer.Argument(help="The machine's name or id.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Keep a machine's last evidence at the controller for good, with the logs that it refers to:
    it can be replayed and observed after others were forgotten.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            kept = stub.KeepEvidence(pb.DeviceRequest(device=name))
        if output == "json":
            show_json({"device": kept.device, "evidence": kept.evidence})
        else:
            talk.print(f"{safe(kept.device)}: evidence {safe(kept.evidence)} is kept for good")
