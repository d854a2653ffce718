"""Batches of a gateway on their way into the record."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate.signed.receipt import ReceiptBatch
from framegate.wire import sha256
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_controller.record.batches import record_batch

HOST = "gateway.line-1.gw1"


class BatchRecorder:
    def __init__(self, bench) -> None:
        self.bench, self.keys = bench, bench.keys
        self.signer = self.key(HOST)
        self.first = ReceiptBatch(HOST, "store", 1, 1, 3, "aa", "", 0, bench.clock())
        with bench.store.reading() as tx:
            self.base = (
                tx.log.size() + 1
            )  # what the fleet's making left, and the event that tells of a new store

    def key(
        self, name, purpose=Purpose.VERDICT, label="gateway-ca", life=timedelta(minutes=5)
    ) -> SigningKey:
        key = ec.generate_private_key(ec.SECP256R1())
        return SigningKey(
            key,
            certify(
                self.keys.issuing[label],
                leaf_template(purpose, name, key.public_key(), life, datetime.now(UTC)),
            ),
        )

    def record(self, batch, by=None, host=HOST):
        by = by or self.signer
        with self.bench.store.writing() as tx:
            return record_batch(tx, self.keys, host, batch.seal(by.der, by.sign))

    def next(self, batch, **changes):
        successor = replace(
            batch,
            number=batch.number + 1,
            first=batch.first + batch.count,
            previous=sha256(batch.payload()).hex(),
        )
        return replace(successor, **changes)


@pytest.fixture
def recorder(bench):
    """A gateway whose batches go into the record of `bench`."""
    return BatchRecorder(bench)
