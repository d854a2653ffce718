"""Sign what was seen, and take it to the controller's record, with what lines gave this gateway.
Both go on by themselves, and catch up after any interruption.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.record.taken_reports import taken_message
from framegate.signed.report import TAKEN_TOPIC
from framegate_gateway.reports.line_reports import LineReports
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_host.reporting import Reporter, Signer
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
GATHER_S: Final = 1.0
"""How long a finding waits for its signature: a report a second, however much there is to tell."""
RETRY_S: Final = 2.0
TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 16
Send = Callable[[str, bytes], None]


async def sign_reports(reporter: Reporter, keys: GatewayKeys, now_ms: Callable[[], int]) -> None:
    """Gather and sign every `GATHER_S`, forever; without standing, gather alone."""
    while True:
        try:
            await asyncio.to_thread(gather_and_sign, reporter, keys, now_ms)
        except (FramegateError, sqlite3.Error) as error:  # a disk that is full for a while
            log.error("reports are not signed: %s", error)
            await asyncio.sleep(RETRY_S)
        await asyncio.sleep(GATHER_S)


def gather_and_sign(reporter: Reporter, keys: GatewayKeys, now_ms: Callable[[], int]) -> None:
    """Once; under a certificate that has lapsed nothing is signed, for nobody would take it.
    Blocks.
    """
    reporter.gather()
    credentials = keys.credentials
    if credentials is None or not credentials.signs(now_ms()):
        return
    der = credentials.verdict.public_bytes(Encoding.DER)
    signer = Signer(credentials.device, der, keys.sign_verdict)
    while reporter.sign(signer):
        pass


async def deliver_reports(
    reporter: Reporter, lines: LineReports, keys: GatewayKeys, send: Send
) -> None:
    """Hand reports to the controller, in order, forever; `send` takes a line's proof to it."""
    while True:
        credentials = keys.credentials
        waits = bool(lines.waiting()) or bool(await asyncio.to_thread(reporter.store.untaken, 1))
        if credentials is not None and waits:
            try:
                await _deliver(reporter, lines, keys, credentials, send)
            except (FramegateError, TimeoutError, sqlite3.Error) as error:
                refused = isinstance(error, FramegateError) and error.reason == Reason.REPORT
                log.log(logging.ERROR if refused else logging.INFO, "reports: %s", error)
                await asyncio.sleep(RETRY_S)
        await asyncio.sleep(GATHER_S)


async def _deliver(
    reporter: Reporter, lines: LineReports, keys: GatewayKeys, own: Credentials, send: Send
) -> None:
    async with fleet_stub(keys, own) as stub:
        for envelope in lines.waiting():
            try:
                reply = await _record(stub, envelope.envelope)
            except FramegateError as error:
                if error.reason in {Reason.UNAVAILABLE, Reason.TOO_MANY_TRIES}:
                    raise
                log.warning("a report of line %s: %s", envelope.line, error)
            else:
                topic = TAKEN_TOPIC.format(gateway=own.device, line=envelope.line)
                path = tuple(reply.path)
                send(topic, taken_message(reply.entry, reply.index, path, reply.checkpoint))
            lines.done(envelope)
        while waiting := await asyncio.to_thread(reporter.store.untaken, AT_ONCE):
            for report in waiting:
                reply = await _record(stub, report.envelope)
                await asyncio.to_thread(
                    reporter.store.taken, report.number, report.sha256, reply.index
                )


async def _record(stub: Any, envelope: bytes) -> pb.RecordBatchReply:
    request = pb.RecordReportRequest(report=envelope)
    reply: pb.RecordBatchReply = await answered(
        stub.RecordReport(request, timeout=TIMEOUT_S), "is the controller running?"
    )
    return reply
