"""The record as the controller writes, proves and thins it."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.entry import MAX_ENTRY_BYTES, Act
from framegate.record.machine_events import DeviceMoved
from framegate.record.merkle import Frontier, data_tree
from framegate.record.verify import LogAnchor, consistent, verify_head, verify_log
from framegate.signed.receipt import Checkpoint
from framegate.wire import sha256
from framegate_controller.record.ledger import checkpoint, prove, prove_growth
from framegate_controller.store.database import open_registry
from support.audit_log import Log, payload, quarantined

EXPORTS: dict[str, list[bytes]] = {}


# --- proofs (RFC 9162) ---


@pytest.mark.parametrize("index", [0, 7, 20, 32])
def test_every_entry_is_proved_and_another_is_not(signed_log, index):
    with signed_log.database.writing() as tx:
        proof = prove(tx, signed_log.keys, index)
    head = verify_head(proof.checkpoint, signed_log.anchor, "plant")
    assert (
        root_from_path(leaf_hash(proof.entry), index, head.size, list(proof.path)).hex()
        == head.root
    )
    for wrong in (signed_log.entries[index] + b" ", signed_log.entries[(index + 1) % 33]):
        assert (
            root_from_path(leaf_hash(wrong), index, head.size, list(proof.path)).hex() != head.root
        )
    with signed_log.database.reading() as tx, pytest.raises(KeyError):
        prove(tx, signed_log.keys, 33)


@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 8), st.integers(0, 255))
def test_growth_is_proved_and_a_changed_path_is_not(signed_log, first, second, at, bit):
    """RFC 9162, 2.1.4.2: against a tree built by itself, and with any node of the path changed."""
    first, second = sorted((first, second))
    leaves = EXPORTS.setdefault("leaves", [leaf_hash(e) for e in signed_log.entries])
    roots = []
    for size in (first, second):
        frontier = Frontier()
        for leaf in leaves[:size]:
            frontier.append(leaf)
        roots.append(frontier.root)
    with signed_log.database.reading() as tx:
        path = prove_growth(tx, first, second)
    assert consistent(first, roots[0], second, roots[1], path)
    assert not consistent(first, sha256(roots[0]), second, roots[1], path)
    assert not consistent(first, roots[0], second, sha256(roots[1]), path)
    if path:
        node = path[at % len(path)]
        changed = [
            *path[: at % len(path)],
            bytes([node[0] ^ (bit | 1), *node[1:]]),
            *path[at % len(path) + 1 :],
        ]
        assert not consistent(first, roots[0], second, roots[1], changed)
        assert not consistent(first, roots[0], second, roots[1], path[:-1]) and not consistent(
            first, roots[0], second, roots[1], [*path, path[0]]
        )


# --- the store ---


def test_an_entry_is_there_with_its_change_or_neither_is(own_log):
    class Stop(Exception): ...

    before = log_size_of(own_log)
    with pytest.raises(Stop), own_log.database.writing() as tx:
        tx.record(quarantined(), by="operator.anna")
        raise Stop
    assert log_size_of(own_log) == before
    with own_log.database.writing() as tx:
        tx.record(quarantined(), by="operator.anna")
    lines = own_log.export(heads=[head_of(own_log)])
    assert verify_log(lines, own_log.anchor).entries == before + 1


def log_size_of(signed_log: Log) -> int:
    with signed_log.database.reading() as tx:
        return tx.log.size()


def head_of(signed_log: Log) -> bytes:
    with signed_log.database.writing() as tx:
        return checkpoint(tx, signed_log.keys)


def test_two_processes_writing_one_after_the_other_make_one_log(own_log, tmp_path):
    other = open_registry(tmp_path / "registry.db")
    for number in range(6):
        database = (own_log.database, other)[number % 2]
        with database.writing() as tx:
            tx.record(quarantined(number), by=f"operator.{number}")
    other.close()
    assert verify_log(own_log.export(heads=[head_of(own_log)]), own_log.anchor).entries == 39


def test_who_where_why_and_on_whose_word_are_in_the_entry(own_log):
    with own_log.database.writing() as tx:
        tx.act = Act(
            actor="operator.anna",
            source="192.0.2.7",
            approved_by=("berta",),
            reason="dirty",
            verb="device.lift",
            policies=("security",),
            policy="access-policy 4 ab",
            request="0a1b2c3d",
        )
        tx.record(
            DeviceMoved(
                device="camera.line-1.cam1",
                edge=Edge.RELEASE,
                before=State.QUARANTINED,
                after=State.STALE,
                why="lifted",
            )
        )
    entry = json.loads(own_log.entries[-1])
    assert (
        entry["source"],
        entry["approved_by"],
        entry["reason"],
        entry["verb"],
        entry["request"],
    ) == ("192.0.2.7", ["berta"], "dirty", "device.lift", "0a1b2c3d")
    assert (entry["from"], entry["to"], entry["policies"], entry["index"]) == (
        "quarantined",
        "stale",
        ["security"],
        33,
    )


def test_an_entry_that_is_too_long_is_refused_whole(own_log):
    with pytest.raises(Malformed), own_log.database.writing() as tx:
        tx.log.append(
            {
                "kind": "event",
                "at_ms": 1,
                "event": "x",
                "actor": "a",
                "detail": "x" * MAX_ENTRY_BYTES,
            }
        )
    assert log_size_of(own_log) == 33


def test_heads_are_thinned_and_the_rest_still_say_where_it_was_whole(own_log):
    for number in range(50):
        own_log.clock.now = own_log.began + 999 + number * 1000
        with own_log.database.writing() as tx:
            tx.record(quarantined(number), by="a")
            checkpoint(tx, own_log.keys)
    with own_log.database.writing() as tx:
        tx.log.thin_heads(own_log.began + 40_000, 10_000)
    with own_log.database.reading() as tx:
        left = [
            Checkpoint.parse_payload(payload(h)).at_ms
            for h in tx.log.heads(tx.log.size() + 1, 1000)
        ]
    assert len(left) < 20 and all(
        b - a >= 10_000 for a, b in itertools.pairwise(left) if b < own_log.began + 40_000
    )


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
            assert (
                root_from_path(leaf_hash(entry), index, size, proof.path) == root
                and json.loads(entry)["index"] == index
            )
        for smaller in range(1, size + 1):
            path = prove_growth(tx, smaller, size)
            assert consistent(smaller, data_tree(entries[:smaller]).root, size, root, path)
            assert (
                not consistent(smaller, data_tree(entries[1 : smaller + 1]).root, size, root, path)
                or smaller == 0
            )
        with pytest.raises(KeyError):
            prove(tx, keys, size)


def test_a_head_of_a_controller_whose_clock_is_behind_its_own_key_is_accepted(bench):
    """A clock that was set back, or forgot the time: whoever reads the record later cannot tell."""
    anchor = LogAnchor(root=bench.keys.root.certificate)
    bench.clock.pass_s(-20 * 366 * 86_400)
    with bench.store.writing() as tx:
        tx.log.append({"kind": "event", "event": "x", "actor": "a", "detail": "y"})
        head = verify_head(checkpoint(tx, bench.keys), anchor, bench.keys.fleet)
        assert head.size == tx.log.size()
    born = bench.keys.signing["log"].certificate.not_valid_before_utc
    assert head.at_ms == born.timestamp() * 1000
