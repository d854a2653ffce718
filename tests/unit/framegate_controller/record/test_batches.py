"""Batches of receipts in the controller's record."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError
from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.signed.receipt import Checkpoint
from framegate.wire import sha256
from framegate_controller.record.batches import record_batch
from support.batches import HOST


def test_batches_go_into_the_log_in_order_and_are_proved(recorder):
    batch = recorder.first
    for index in range(9):
        proof = recorder.record(batch)
        assert (
            proof.index == recorder.base + index
            and json.loads(proof.entry)["batch_sha256"] == sha256(batch.payload()).hex()
        )
        head, _ = Checkpoint.verify(
            proof.checkpoint,
            recorder.keys.intermediates,
            recorder.keys.root.certificate,
            datetime.now(UTC),
        )
        assert (
            root_from_path(leaf_hash(proof.entry), proof.index, head.size, proof.path).hex()
            == head.root
            and head.size == proof.index + 1
        )
        batch = recorder.next(batch)


def test_the_same_batch_again_is_proved_again_and_logged_once(recorder):
    assert (
        recorder.record(recorder.first).index
        == recorder.record(recorder.first).index
        == recorder.base
    )
    assert recorder.record(recorder.next(recorder.first)).index == recorder.base + 1


@pytest.mark.parametrize(
    "how",
    ["other host", "other signer", "other purpose", "future", "before its certificate", "garbage"],
)
def test_batches_that_are_not_this_gateways(recorder, how):
    batch, by, host = recorder.first, None, HOST
    if how == "other host":
        host = "gateway.line-1.gw2"
    elif how == "other signer":
        by = recorder.key("gateway.line-1.gw2")
    elif how == "other purpose":
        by = recorder.key(HOST, Purpose.DEVICE, "device-ca")
    elif how == "future":
        batch = replace(batch, closed_at_ms=recorder.bench.clock() + 60_000)
    elif how == "before its certificate":
        batch = replace(batch, closed_at_ms=recorder.bench.clock() - 3_600_000)
    with pytest.raises(FramegateError):
        if how == "garbage":
            with recorder.bench.store.writing() as tx:
                record_batch(tx, recorder.keys, HOST, b"{}")
        else:
            recorder.record(batch, by, host)


def test_a_controller_that_was_away_hears_of_it_later(recorder):
    recorder.bench.clock.pass_s(3600)
    assert recorder.record(recorder.first).index == recorder.base, (
        "the certificate has ended since; it lived when the batch was closed"
    )


def test_a_new_store_is_an_event(recorder):
    recorder.record(recorder.first)
    recorder.record(replace(recorder.first, store="another"))

    assert len(recorder.bench.events("receipt-store-new")) == 2


def test_receipts_that_a_dead_gateway_left_are_an_event(recorder):
    recorder.record(replace(recorder.first, recovered=1))
    told = recorder.bench.events("receipts-recovered")
    assert [e["device"] for e in told] == [recorder.first.gateway], told
