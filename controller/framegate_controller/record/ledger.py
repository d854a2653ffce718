"""The record's tree: prove an entry, sign a head, hold a head kept elsewhere against it. Hashing is
RFC 9162's; all cost a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused
from framegate.record.merkle import Frontier, consistency_path, inclusion_path
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction

RESTORE: Final = (
    "restore the registry from its backup; framegate audit verify on an export names the entry"
)


@dataclass(frozen=True, slots=True)
class LogProof:
    """An entry, its index, its inclusion path, and the signed checkpoint the path leads to."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def prove(tx: Transaction, keys: FleetKeys, index: int) -> LogProof:
    """That entry `index` is in the log as it stands now. KeyError where there is no such entry."""
    logged = tx.log.entry(index)
    if logged is None:
        raise KeyError(index)
    path = inclusion_path(index, tx.log.size(), tx.log.node)
    return LogProof(logged.entry, index, tuple(path), checkpoint(tx, keys))


def prove_growth(tx: Transaction, first: int, second: int) -> list[bytes]:
    """That the log of `second` entries is the one of `first` grown (RFC 9162, 2.1.4). Raises
    ValueError.
    """
    if second > tx.log.size():
        raise ValueError(f"a log of {second} entries")
    return consistency_path(first, second, tx.log.node)


def checkpoint(tx: Transaction, keys: FleetKeys) -> bytes:
    """The signed head of the log as it stands now; kept, one for each size."""
    size = tx.log.size()
    kept = tx.log.head(size)
    if kept is not None:
        return kept
    signer = keys.signing["log"]
    envelope = Checkpoint(fleet=keys.fleet, size=size, root=tx.log.root(), at_ms=tx.now_ms).seal(
        signer.der, signer.sign
    )
    tx.log.add_head(size, tx.now_ms, envelope)
    return envelope


def require_whole(tx: Transaction, witnessed: bytes) -> None:
    """That the log still holds what the head `witnessed` was signed over: checked at every start,
    against a head kept outside the store.

    Raises Refused (AUDIT): the log was cut, deleted or rewritten. The caller MUST have verified the
    head's signature.
    """
    head = Checkpoint.parse_payload(witnessed)
    size = tx.log.size()
    if head.size > size:
        raise Refused.of(
            Reason.AUDIT,
            f"a log of at least {head.size} entries, as its last head says",
            f"{size}",
            RESTORE,
        )
    root = Frontier.resume(head.size, tx.log.node).root.hex()
    if head.size and root != head.root:
        raise Refused.of(
            Reason.AUDIT,
            f"the log whose first {head.size} entries have the root {head.root[:16]}…",
            f"{root[:16]}…",
            RESTORE,
        )
