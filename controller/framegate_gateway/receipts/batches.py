"""Sign what has gathered, and have the controller's log date it. Both go on by themselves and catch
up after any interruption.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.record.merkle import data_tree
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.receipt import MAX_BATCH, ReceiptBatch, b64
from framegate.wire import sha256
from framegate_gateway.receipts.batch_rows import BatchRow
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import GatewayKeys, lives
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
        wait_s = None if _signs(keys, now_ms()) else RETRY_S  # until the host has a certificate
        try:
            made = await asyncio.to_thread(sign_one, store, keys, now_ms)
        except sqlite3.Error as error:  # a disk that is full for a while must not end the gateway
            log.error("receipts are not signed: %s", error)
            made, wait_s = False, RETRY_S
        if not made:
            promise.rest()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(store.appended.wait(), wait_s)
            await asyncio.sleep(BATCH_S)
            continue
        signed.set()
        await asyncio.sleep(0)


def sign_one(store: ReceiptStore, keys: GatewayKeys, now_ms: Callable[[], int]) -> bool:
    """Sign the next batch, if there are leaves and the host has a certificate that lives; whether
    one was signed. Under one that has lapsed nobody would take it, now or later. Blocks.
    """
    with store.signing:
        return _sign_one(store, keys, now_ms())


def sign_rest(store: ReceiptStore, keys: GatewayKeys, now_ms: Callable[[], int]) -> None:
    """What is left unsigned at an orderly end is signed now, not recovered later. Blocks."""
    while sign_one(store, keys, now_ms):
        pass


def _sign_one(store: ReceiptStore, keys: GatewayKeys, now: int) -> bool:
    unbatched, credentials = store.unbatched(MAX_BATCH), keys.credentials
    leaves, last = unbatched.leaves, unbatched.last
    if not leaves or credentials is None or not credentials.signs(now):
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
        closed_at_ms=now,
    )
    envelope = batch.seal(credentials.verdict.public_bytes(Encoding.DER), keys.sign_verdict)
    store.add_batch(batch.number, first, count, batch.payload(), envelope)
    if batch.recovered:
        started.info("%d receipts of an earlier process recovered and signed", count)
    return True


def _signs(keys: GatewayKeys, now_ms: int) -> bool:
    """Whether the verdict key has a certificate that lives now."""
    credentials = keys.credentials
    return credentials is not None and credentials.signs(now_ms)


def sign_lapsed_again(store: ReceiptStore, keys: GatewayKeys, now_ms: Callable[[], int]) -> int:
    """Sign anew, of what waits for the log, each batch that was closed when its signer's
    certificate did not live, and each that names such a one as the one before: an earlier version
    signed such ones, and so does a clock that was wrong. The leaves and their roots stay; how many
    batches. Blocks.
    """
    count, before, now = 0, None, now_ms()
    with store.signing:
        credentials, waiting = keys.credentials, store.unlogged()
        if credentials is None or not credentials.signs(now) or not waiting:
            return 0
        before = store.batch(waiting[0].number - 1)
        while waiting:
            again = []
            for row in waiting:
                batch = ReceiptBatch.parse_payload(row.payload)
                previous = sha256(before.payload).hex() if before is not None else batch.previous
                if _lapsed(row) or batch.previous != previous:
                    row = _signed_again(
                        row, replace(batch, previous=previous, closed_at_ms=now), keys
                    )
                    again.append(row)
                before = row
            if not again:
                break
            store.sign_again(again)
            count += len(again)
            waiting = store.unlogged(after=waiting[-1].number)
    return count


def _signed_again(row: BatchRow, batch: ReceiptBatch, keys: GatewayKeys) -> BatchRow:
    credentials = keys.credentials
    assert credentials is not None  # noqa: S101 - whoever calls has looked
    envelope = batch.seal(credentials.verdict.public_bytes(Encoding.DER), keys.sign_verdict)
    return replace(row, payload=batch.payload(), envelope=envelope)


def _lapsed(row: BatchRow) -> bool:
    certificate = envelope_certificate(parse_envelope(row.envelope, ReceiptBatch.TYPE))
    return not lives(certificate, ReceiptBatch.parse_payload(row.payload).closed_at_ms)


async def follow_log(
    store: ReceiptStore, keys: GatewayKeys, now_ms: Callable[[], int], signed: asyncio.Event
) -> None:
    """Hand signed batches to the controller's log, in order, forever; one that is refused because
    its signer had lapsed is signed anew.
    """
    while True:
        signed.clear()
        try:
            if not await _record(store, keys):
                await signed.wait()
                continue
        except (FramegateError, TimeoutError, sqlite3.Error) as error:
            refused = isinstance(error, FramegateError) and error.reason == Reason.RECEIPT
            log.log(logging.ERROR if refused else logging.INFO, "log: %s", error)
            if refused and (
                count := await asyncio.to_thread(sign_lapsed_again, store, keys, now_ms)
            ):
                log.warning(
                    "%d batches, signed when the certificate had lapsed, signed anew", count
                )
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
