"""Whether a registry's record is whole: every entry, every node of its tree, every head."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.receipt_verifier import leaf_hash
from framegate.record.merkle import Frontier
from framegate.record.verify import AuditRefused, LogAnchor, verify_signed
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import EntryQuery, Transaction

AT_ONCE: Final = 2_000
"""Entries, and nodes, in memory."""
_RESTORE: Final = "the store was changed: restore it from a backup"


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record that is whole: how many entries it has, its root in hex, how many heads."""

    entries: int
    root: str
    heads: int


def check_record(tx: Transaction, keys: FleetKeys) -> CheckedRecord:
    """That the record is whole.

    1. indices follow each other from 0; 2. the tree over the entries' bytes is the one whose nodes
    are kept, node by node; 3. every head is signed by a log key of this fleet and is one of this
    tree. Raises Malformed (AUDIT).
    """
    size = tx.log.size()
    signed = _heads(tx, keys, size)
    tree = Frontier()
    computed: dict[int, hashlib._Hash] = defaultdict(hashlib.sha256)
    for first in range(0, size, AT_ONCE):
        entries = tx.log.entries(EntryQuery(), first=first, below=size, most=AT_ONCE)
        for entry in entries:
            if entry.index != tree.size:  # 1
                raise _broken(f"entry {tree.size}", f"entry {entry.index}")
            for node in tree.append(leaf_hash(entry.entry)):
                computed[node.level].update(node.hash)
            head = signed.pop(tree.size, None)
            if head is not None and head.root != tree.root.hex():  # 3
                raise _broken(f"the root under the head of {head.size} entries", "another")
    if tree.size != size:  # 1
        raise _broken(f"{size} entries", tree.size)
    for level, wanted in computed.items():  # 2
        if _kept(tx, level) != wanted.digest():
            raise _broken(f"the hashes of level {level} of the tree", "others")
    if signed:
        raise _broken(f"heads of at most {size} entries", min(signed))
    return CheckedRecord(size, tree.root.hex(), len(tx.log.heads(size + 1, size + 1)))


def _heads(tx: Transaction, keys: FleetKeys, size: int) -> dict[int, Checkpoint]:
    anchor, heads = LogAnchor(root=keys.root.certificate), {}
    for envelope in tx.log.heads(size + 1, size + 1):
        try:
            head = verify_signed(envelope, Checkpoint, anchor)
        except AuditRefused as error:
            raise _broken("heads signed by the fleet's log key", error) from error
        if tx.log.head(head.size) != envelope:
            raise _broken(f"the head of {head.size} entries under its size", "another")
        heads[head.size] = head
    heads.pop(0, None)
    return heads


def _kept(tx: Transaction, level: int) -> bytes:
    """SHA-256 over the kept hashes of a level, in order."""
    digest, first = hashlib.sha256(), 0
    while nodes := tx.log.nodes(level, first, AT_ONCE):
        for node in nodes:
            digest.update(node)
        first += len(nodes)
    return digest.digest()


def _broken(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.AUDIT, expected, actual, _RESTORE)
