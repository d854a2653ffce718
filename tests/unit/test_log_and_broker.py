"""The controller's log of batches (N110), the broker's access list (N114), and receipts and trees under whatever input."""

import contextlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import ReceiptRefused, leaf_hash, root_from_path, verify_receipt
from framegate.record.merkle import Frontier, Tree, data_tree
from framegate.record.verify import consistent
from framegate.signed.receipt import Checkpoint, ReceiptBatch
from framegate.wire import sha256
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_controller.record.batches import record_batch
from framegate_controller.record.ledger import prove, prove_growth
from framegate_operator.broker import mosquitto_acl
from framegate_operator.vault import open_lineage

HOST = "gateway.line-1.gw1"


class Recorder:
    def __init__(self, bench) -> None:
        self.bench, self.keys = bench, bench.keys
        self.signer = self.key(HOST)
        self.first = ReceiptBatch(HOST, "store", 1, 1, 3, "aa", "", 0, bench.clock())
        with bench.store.reading() as tx:
            self.base = tx.log.size() + 1  # what the fleet's making left, and the event that tells of a new store

    def key(self, name, purpose=Purpose.VERDICT, label="gateway-ca", life=timedelta(minutes=5)) -> SigningKey:
        key = ec.generate_private_key(ec.SECP256R1())
        return SigningKey(key, certify(self.keys.issuing[label], leaf_template(purpose, name, key.public_key(), life, datetime.now(UTC))))

    def record(self, batch, by=None, host=HOST):
        by = by or self.signer
        with self.bench.store.writing() as tx:
            return record_batch(tx, self.keys, host, batch.seal(by.der, by.sign))

    def next(self, batch, **changes):
        made = replace(batch, number=batch.number + 1, first=batch.first + batch.count, previous=sha256(batch.payload()).hex())
        return replace(made, **changes)


@pytest.fixture
def recorder(bench):
    return Recorder(bench)


def test_batches_go_into_the_log_in_order_and_are_proved(recorder):
    batch = recorder.first
    for index in range(9):
        proof = recorder.record(batch)
        assert proof.index == recorder.base + index and json.loads(proof.entry)["batch_sha256"] == sha256(batch.payload()).hex()
        head, _ = Checkpoint.verify(proof.checkpoint, recorder.keys.intermediates, recorder.keys.root.certificate, datetime.now(UTC))
        assert root_from_path(leaf_hash(proof.entry), proof.index, head.size, proof.path).hex() == head.root and head.size == proof.index + 1
        batch = recorder.next(batch)


def test_the_same_batch_again_is_proved_again_and_logged_once(recorder):
    assert recorder.record(recorder.first).index == recorder.record(recorder.first).index == recorder.base
    assert recorder.record(recorder.next(recorder.first)).index == recorder.base + 1


@pytest.mark.parametrize("change", [{"number": 3}, {"first": 5}, {"first": 3}, {"previous": "00" * 32}, {"count": 0}, {"count": 5000}])
def test_n110_a_store_that_was_cut_or_forked(recorder, change):
    recorder.record(recorder.first)
    with pytest.raises(FramegateError) as caught:
        recorder.record(recorder.next(recorder.first, **change))
    assert caught.value.reason == Reason.RECEIPT
    assert recorder.record(recorder.next(recorder.first)).index == recorder.base + 1, "the honest one still goes in"


def test_n110_another_batch_under_a_used_number(recorder):
    recorder.record(recorder.first)
    with pytest.raises(FramegateError) as caught:
        recorder.record(replace(recorder.first, root="bb"))
    assert caught.value.reason == Reason.RECEIPT


@pytest.mark.parametrize("how", ["other host", "other signer", "other purpose", "future", "before its certificate", "garbage"])
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
    assert recorder.record(recorder.first).index == recorder.base, "the certificate has ended since; it lived when the batch was closed"


def test_a_new_store_is_an_event(recorder):
    recorder.record(recorder.first)
    recorder.record(replace(recorder.first, store="another"))

    assert len(recorder.bench.events("receipt-store-new")) == 2


def test_every_entry_stays_provable_as_the_log_grows(bench):
    keys = bench.keys
    with bench.store.writing() as tx:
        first = tx.log.size()
        for number in range(37):
            tx.log.append({"kind": "event", "event": "x", "actor": "a", "detail": str(number)})
        size = first + 37
        entries = [prove(tx, keys, index).entry for index in range(size)]
        root = data_tree(entries).root
        for index, entry in enumerate(entries):
            proof = prove(tx, keys, index)
            assert root_from_path(leaf_hash(entry), index, size, proof.path) == root and json.loads(entry)["index"] == index
        for smaller in range(1, size + 1):
            path = prove_growth(tx, smaller, size)
            assert consistent(smaller, data_tree(entries[:smaller]).root, size, root, path)
            assert not consistent(smaller, data_tree(entries[1 : smaller + 1]).root, size, root, path) or smaller == 0
        with pytest.raises(KeyError):
            prove(tx, keys, size)


@given(st.integers(1, 200), st.data())
def test_trees_agree_and_a_wrong_place_does_not(size, data):
    leaves = [leaf_hash(n.to_bytes(2, "big")) for n in range(size)]
    frontier, tree = Frontier(), Tree(leaves)
    for leaf in leaves:
        frontier.append(leaf)
    assert frontier.root == tree.root
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    path = tree.path(index)
    assert root_from_path(leaves[index], index, size, path) == tree.root
    if other != index:
        with contextlib.suppress(ValueError):
            assert root_from_path(leaves[index], other, size, path) != tree.root


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_receipts_that_are_anything(value):
    with pytest.raises(ReceiptRefused):
        verify_receipt(value, b"not read")
    if isinstance(value, dict):
        for name in ("leaf", "verdict", "batch", "authorities", "camera", "log"):
            with pytest.raises(ReceiptRefused):
                verify_receipt({"format": "framegate-receipt-1", name: value}, b"")


def test_each_machine_publishes_only_as_itself():
    acl = mosquitto_acl(["gateway.line-1.gw1", "camera.line-1.cam1", "camera.line-1.cam2"], ["press-7"], ["operator.anna"])
    users = {block.split("\n", 1)[0]: block.split("\n")[1:] for block in acl.split("\nuser ")[1:]}
    for user, rules in users.items():
        for written in (r.removeprefix("topic write ").strip() for r in rules if r.startswith("topic write")):
            assert user in written or (user in {"line.press-7", "line.press-7-plc"} and "/lines/press-7/" in written), (user, written)
    assert not any(r.startswith(("topic write", "topic readwrite", "pattern")) for r in users["operator.anna"]) and "#" not in "".join(r for r in users["camera.line-1.cam1"])


@pytest.mark.parametrize("bad", [(["camera.line-1.cam1\nuser x"], []), (["camera.line-1.+"], []), ([], ["press 7\ntopic #"])])
def test_n29_names_that_would_break_the_access_list(bad):
    with pytest.raises(FramegateError):
        mosquitto_acl(*bad)


def test_lineage_as_open_lineage():
    side = {"id": "x", "sha256": "aa", "result_id": "r", "evidence_sha256": "bb", "name": "n", "decision_sha256": "cc"}
    chain = {
        "id": "0123456789abcdef0123456789abcdef", "kind": "verdict", "at_ms": time.time_ns() // 1_000_000, "training": side, "model": side, "gateway": side, "camera": side, "firmware_profile": side,
        "policy": side, "golden": side, "verdict": {"outcome": "PASS", "sha256": "dd"},
        "frame": {"sha256": "ee", "session": "00", "counter": 1, "signed_by_camera": True, "part_type": "t"},
    }  # fmt: skip
    event = open_lineage(chain)
    assert (
        event["eventType"] == "COMPLETE"
        and event["run"]["runId"].count("-") == 4
        and len(event["inputs"]) == 7
        and event["outputs"][0]["facets"]["framegate_digest"]["sha256"] == "dd"
    )
    with pytest.raises(FramegateError):
        open_lineage({"kind": "event"})
