"""Receipts out of gateways: one, or all of a time, page after page."""

from __future__ import annotations

import base64
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from framegate.codec import MOST_WHOLE
from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.signed.dsse import strict_json
from framegate_host.console import safe, talk
from framegate_operator.answers import json_object, reading
from framegate_operator.connection import gateway_stub, gateways
from framegate_operator.contexts import OperatorContext
from framegate_operator.receipt_files import ExportRange
from framegate_proto.v1 import framegate_pb2 as pb

_PAGE: Final = 2000
"""Receipts of one answer: some twenty megabytes, and the gateway reads its store no longer."""


def receipts_of_time(
    operator: OperatorContext, request: pb.ReceiptsRequest, limit: int, silent: list[str]
) -> Iterator[dict[str, Any]]:
    """Receipts of every gateway, at most `limit` (0: all); those that do not answer are added to
    `silent`.
    """
    left = limit or sys.maxsize
    for device, address in gateways(operator):
        try:
            with gateway_stub(operator, device, address) as stub:
                for receipt in itertools.islice(_pages(stub, request, left), left):
                    left -= 1
                    yield receipt
        except Unavailable as error:
            silent.append(device)
            talk.print(
                f"[yellow]{safe(device)} does not answer at {safe(address)}[/] "
                f"({safe(error.failures[0].actual)}): its receipts are not here"
            )


def _pages(stub: Any, request: pb.ReceiptsRequest, most: int) -> Iterator[dict[str, Any]]:
    """Receipts of one gateway's time, page after page, newest first."""
    page = pb.ReceiptsRequest()
    page.CopyFrom(request)
    page.limit = min(_PAGE, most)
    while True:
        count, receipt = 0, dict[str, Any]()
        for reply in stub.Receipts(page, stream=True):
            receipt = json_object(reply.receipt, "a receipt")
            count += 1
            yield receipt
        if count < page.limit:
            return
        with reading("receipts that go back in time, page after page"):
            claims = strict_json(base64.b64decode(receipt["leaf"]))
            last = (page.until_ms or MOST_WHOLE, page.below or MOST_WHOLE)
            page.until_ms, page.below = claims["iat_ms"], claims["sequence_number"]
            if (page.until_ms, page.below) >= last:
                raise ValueError("the same page again")


def range_of(request: pb.ReceiptsRequest, silent: Sequence[str]) -> ExportRange:
    """What an export of `request`, without the `silent` gateways, is of."""
    return ExportRange(
        camera=request.camera,
        since_ms=request.since_ms,
        until_ms=request.until_ms,
        at_ms=int(time.time() * 1000),
        silent=tuple(silent),
    )


def nothing_of_time(silent: Sequence[str]) -> FramegateError:
    """Why an export is empty, as far as it is known."""
    if silent:
        seen, hint = f"no answer of {', '.join(silent)}", "framegate gateway status"
        return Unavailable.of(Reason.UNAVAILABLE, "receipts of that time", seen, hint)
    hint = "framegate verdict list says when there were any; --since goes further back"
    return Refused.of(Reason.NOT_FOUND, "receipts of that time", "none", hint)
