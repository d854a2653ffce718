"""`framegate why`: of whatever has an id, why it is as it is."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from framegate.errors import Reason, Refused
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machine_details import why as why_machine
from framegate_operator.options import Context, Output, read
from framegate_operator.output import errors
from framegate_operator.verdicts import tell_verdict
from framegate_proto.v1 import framegate_pb2 as pb

_VERDICT: Final = re.compile(r"[0-9a-f]{6,64}")
"""A verdict's id, or so much of it that it is no chance."""


@read
def why(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A verdict's id, or the name or id of a machine.")
    ],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Say why a verdict or a machine is as it is. Exit code 6 for a machine that is not trusted."""
    with errors():
        operator = load_context(context)
        try:
            with operator_stub(operator) as stub:
                summary = stub.Show(pb.DeviceRequest(device=name)).summary
        except Refused as error:
            if error.reason != Reason.NOT_FOUND or not _VERDICT.fullmatch(name):
                raise
            tell_verdict(operator, name)
            return
    why_machine(kind=summary.kind, name=summary.device, output=output, context=context, watch=0.0)
