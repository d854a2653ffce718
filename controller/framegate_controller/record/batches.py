"""Gateways' signed batches of receipts on their way into the log: verified, in order, each once."""

from __future__ import annotations

from framegate.errors import Reason, Refused
from framegate.identity.certificates import common_name, from_ms, while_alive
from framegate.record.machine_events import ReceiptsRecovered, ReceiptStoreNew
from framegate.registry.model import ReceiptBatchEntry
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.receipt import ReceiptBatch, continues, log_body
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.ledger import LogProof, prove
from framegate_controller.store.ports import Transaction


def record_batch(tx: Transaction, keys: FleetKeys, host: str, envelope: bytes) -> LogProof:
    """Put a gateway's batch into the log and prove it.

    1. the envelope is a batch signed by a verdict key of this fleet, closed while its certificate
       lived (a controller that was away hears of it later) and not in the future;
    2. gateway, signer and the caller's `host` are one;
    3. recorded before with the same bytes: the same entry, proved anew;
    4. it continues that store's chain (`continues`): a gap, a fork or another batch under a used
       number is refused and leaves an event.

    Raises Malformed or Refused.
    """
    batch = _verified(keys, host, envelope, tx.now_ms)  # 1, 2
    payload = parse_envelope(envelope, ReceiptBatch.TYPE).payload
    digest = sha256(payload)
    known = tx.receipts.batch(host, batch.store, batch.number)
    if known is not None and known.sha256 == digest:  # 3
        return prove(tx, keys, known.log_index)
    last = tx.receipts.last(host, batch.store)
    before = ReceiptBatch.parse_payload(last.payload) if last is not None else None
    continues(batch, before, last.sha256.hex() if last is not None else "")  # 4
    if last is None:
        tx.record(ReceiptStoreNew(device=host, store=batch.store), by=host)
    index = tx.log.append(log_body(batch, payload, tx.now_ms))
    tx.receipts.add(
        ReceiptBatchEntry(
            gateway=host,
            store=batch.store,
            number=batch.number,
            sha256=digest,
            payload=payload,
            log_index=index,
        )
    )
    if batch.recovered:
        tx.record(ReceiptsRecovered(device=host, count=batch.count), by=host)
    return prove(tx, keys, index)


def _verified(keys: FleetKeys, host: str, envelope: bytes, now_ms: int) -> ReceiptBatch:
    certificate = envelope_certificate(parse_envelope(envelope, ReceiptBatch.TYPE))
    born, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    batch, signer = ReceiptBatch.verify(
        envelope,
        keys.intermediates,
        keys.root.certificate,
        while_alive(certificate, from_ms(now_ms)),
    )
    if (
        not born <= from_ms(batch.closed_at_ms) <= ends
        or batch.closed_at_ms > now_ms + CLOCK_SLACK_MS
    ):
        wanted = "a batch closed in the past, while its signer's certificate lived"
        raise Refused.of(Reason.RECEIPT, wanted, f"closed at {batch.closed_at_ms}, now {now_ms}")
    name = common_name(signer, Reason.RECEIPT)
    if batch.gateway != host or name != host:
        raise Refused.of(
            Reason.RECEIPT, f"a batch of {host}", f"one of {batch.gateway}, signed by {name}"
        )
    return batch
