"""Sign what was seen and take it to the controller's record; both go on by themselves, and catch up
after any interruption.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from framegate.errors import FramegateError, Reason
from framegate_host.reporting import Reporter, Signer
from framegate_proto.edge import answered
from framegate_proto.fleet_channel import fleet_channel
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_segment.credentials import EnforcerCredentials
from framegate_segment.drops import DropBook

log = logging.getLogger(__name__)
GATHER_S: Final = 1.0
RETRY_S: Final = 2.0
TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 16


async def sign_reports(
    reporter: Reporter, credentials: EnforcerCredentials, drops: DropBook
) -> None:
    """Gather and sign every `GATHER_S`, forever, and write drops down."""
    signer = Signer(credentials.name, credentials.der, credentials.sign)
    while True:
        drops.write()
        await asyncio.to_thread(_gather, reporter, signer)
        await asyncio.sleep(GATHER_S)


async def deliver_reports(
    reporter: Reporter, credentials: EnforcerCredentials, at: str, server_name: str
) -> None:
    """Hand reports to the controller, in order, forever."""
    while True:
        waiting = await asyncio.to_thread(reporter.store.untaken, AT_ONCE)
        if waiting:
            try:
                async with fleet_channel(at, server_name, credentials.caller) as stub:
                    for report in waiting:
                        request = pb.RecordReportRequest(report=report.envelope)
                        reply: pb.RecordBatchReply = await answered(
                            stub.RecordReport(request, timeout=TIMEOUT_S),
                            "is the controller running?",
                        )
                        await asyncio.to_thread(
                            reporter.store.taken, report.number, report.sha256, reply.index
                        )
            except FramegateError as error:
                refused = error.reason == Reason.REPORT
                log.log(logging.ERROR if refused else logging.INFO, "reports: %s", error)
                await asyncio.sleep(RETRY_S)
        await asyncio.sleep(GATHER_S)


def _gather(reporter: Reporter, signer: Signer) -> None:
    reporter.gather()
    while reporter.sign(signer):
        pass
