"""Sign what has gathered, and have the controller's log date it. Both go on by themselves and catch
up after any interruption.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.record.merkle import data_tree
from framegate.signed.receipt import MAX_BATCH, ReceiptBatch, b64
from framegate.wire import sha256
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import GatewayKeys
from framegate_host.logs import started
from framegate_host.watchdog import Promise
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
BATCH_S: Final = 1.0
"""How long a leaf waits for its signature: one signature and one log entry a second, however many
frames.
"""
SIGNED_MOST_S: Final = 60.0
"""For one batch to be on the disk: milliseconds, unless the disk is away."""
RETRY_S: Final = 2.0
RECORD_TIMEOUT_S: Final = 10.0


async def sign_batches(
    store: ReceiptStore,
    keys: GatewayKeys,
    now_ms: Callable[[], int],
    signed: asyncio.Event,
    promise: Promise,
) -> None:
    """Sign unsigned leaves every `BATCH_S`, forever; those of an earlier process first, in batches
    marked recovered. Sets `signed`. A batch is promised, and waiting for leaves promises nothing.
    """
    while True:
        promise.within(SIGNED_MOST_S)
        store.appended.clear()  # before looking: what is appended while we look must wake us
        if not await asyncio.to_thread(sign_one, store, keys, now_ms):
            promise.rest()
            await store.appended.wait()
            await asyncio.sleep(BATCH_S)
            continue
        signed.set()
        await asyncio.sleep(0)


def sign_one(store: ReceiptStore, keys: GatewayKeys, now_ms: Callable[[], int]) -> bool:
    """Sign the next batch, if there are leaves and the host has standing; whether one was signed.
    Blocks.
    """
    unbatched = store.unbatched(MAX_BATCH)
    leaves, last = unbatched.leaves, unbatched.last
    credentials = keys.credentials
    if not leaves or credentials is None:
        return False
    first, count = leaves[0].number, len(leaves)
    batch = ReceiptBatch(
        gateway=credentials.device,
        store=store.id,
        number=last.number + 1 if last else 1,
        first=first,
        count=count,
        root=data_tree([one.leaf for one in leaves]).root.hex(),
        previous=sha256(last.payload).hex() if last else "",
        recovered=int(first <= store.orphans_end),
        closed_at_ms=now_ms(),
    )
    envelope = batch.seal(credentials.verdict.public_bytes(Encoding.DER), keys.sign_verdict)
    store.add_batch(batch.number, first, count, batch.payload(), envelope)
    if batch.recovered:
        started.info("%d receipts of an earlier process recovered and signed", count)
    return True


async def follow_log(store: ReceiptStore, keys: GatewayKeys, signed: asyncio.Event) -> None:
    """Hand signed batches to the controller's log, in order, forever."""
    while True:
        signed.clear()
        try:
            if not await _record(store, keys):
                await signed.wait()
                continue
        except (FramegateError, TimeoutError) as error:
            refused = isinstance(error, FramegateError) and error.reason == Reason.RECEIPT
            log.log(logging.ERROR if refused else logging.INFO, "log: %s", error)
        await asyncio.sleep(RETRY_S)


async def _record(store: ReceiptStore, keys: GatewayKeys) -> bool:
    """Record all that waits; False where nothing waited."""
    waiting = await asyncio.to_thread(store.unlogged)
    credentials = keys.credentials
    if not waiting or credentials is None:
        return bool(waiting)
    async with fleet_stub(keys, credentials) as stub:
        while waiting:
            for batch in waiting:
                reply = await answered(
                    stub.RecordBatch(
                        pb.RecordBatchRequest(batch=batch.envelope), timeout=RECORD_TIMEOUT_S
                    ),
                    "is the controller running?",
                )
                proof = {
                    "entry": b64(reply.entry),
                    "index": reply.index,
                    "path": [b64(p) for p in reply.path],
                    "checkpoint": b64(reply.checkpoint),
                }
                await asyncio.to_thread(store.add_log, batch.number, proof)
            waiting = await asyncio.to_thread(store.unlogged)
            if not waiting:
                await asyncio.sleep(BATCH_S)  # the connection serves the next batches too
                waiting = await asyncio.to_thread(store.unlogged)
    return True


def new_identifier() -> str:
    """An id for a leaf that has no verdict's."""
    return secrets.token_hex(16)
