"""Gateways' signed batches of receipts on their way into the log: verified, in order, each once."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import Reason, Refused
from framegate.identity.certificates import common_name, from_ms
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.receipt import ReceiptBatch, continues, log_body
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.ledger import LogProof, prove
from framegate_controller.store.registry import record
from framegate_controller.store.tables import BatchRow


def record_batch(session: Session, keys: FleetKeys, host: str, envelope: bytes, now_ms: int) -> LogProof:
    """Put a gateway's batch into the log and prove it.

    1. the envelope is a batch signed by a verdict key of this fleet, closed while its certificate lived (a controller that was away hears of it
    later) and not in the future; 2. gateway, signer and the caller's `host` are
    one; 3. recorded before with the same bytes: the same entry, proved anew; 4. it continues that store's chain (`continues`): a gap, a fork or
    another batch under a used number is refused and leaves an event. Raises Malformed or Refused.
    """
    made = envelope_certificate(parse_envelope(envelope, ReceiptBatch.TYPE))
    at = min(max(from_ms(now_ms), made.not_valid_before_utc), made.not_valid_after_utc)
    batch, signer = ReceiptBatch.verify(envelope, keys.intermediates, keys.root.certificate, at)  # 1
    if not made.not_valid_before_utc <= from_ms(batch.closed_at_ms) <= made.not_valid_after_utc or batch.closed_at_ms > now_ms + CLOCK_SLACK_MS:
        raise Refused.of(Reason.RECEIPT, "a batch closed in the past, while its signer's certificate lived", f"closed at {batch.closed_at_ms}, now {now_ms}")
    name = common_name(signer, Reason.RECEIPT)
    if batch.gateway != host or name != host:  # 2
        raise Refused.of(Reason.RECEIPT, f"a batch of {host}", f"one of {batch.gateway}, signed by {name}")
    payload = parse_envelope(envelope, ReceiptBatch.TYPE).payload
    digest = sha256(payload)
    mine = select(BatchRow).where(BatchRow.gateway == host, BatchRow.store == batch.store)
    known = session.scalars(mine.where(BatchRow.number == batch.number)).one_or_none()
    if known is not None and known.sha256 == digest:  # 3
        return prove(session.info["tx"], keys, known.log_index)
    last = session.scalars(mine.order_by(BatchRow.number.desc()).limit(1)).one_or_none()
    continues(batch, ReceiptBatch.parse_payload(last.payload) if last else None, last.sha256.hex() if last else "")  # 4
    if last is None:
        record(session, now_ms, host, "receipt-store-new", host, f"store {batch.store}: receipts of an earlier one are on its old disk")
    index = session.info["tx"].log.append(log_body(batch, payload, now_ms))
    session.add(BatchRow(gateway=host, store=batch.store, number=batch.number, sha256=digest, payload=payload, log_index=index))
    if batch.recovered:
        record(session, now_ms, host, "receipts-recovered", host, f"{batch.count} receipts of a process that ended before it signed them")
    return prove(session.info["tx"], keys, index)
