"""The record's tree: prove an entry, sign a head, hold a head kept elsewhere against it. Hashing is
RFC 9162's; all cost a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from framegate.errors import Reason, Refused
from framegate.record.following import (
    RESTORE,
    LogPosition,
    common,
    require_follows,
)
from framegate.record.merkle import Frontier, consistency_path, inclusion_path
from framegate.record.witness import parse_head
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.restorations import restorations, restored_times


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
    head = Checkpoint(
        fleet=keys.fleet,
        size=size,
        root=tx.log.root(),
        at_ms=signer.dated_ms(tx.now_ms),
        restorations=restored_times(tx),
    )
    envelope = head.seal(signer.der, signer.sign)
    tx.log.add_head(size, head.at_ms, envelope)
    return envelope


def position(tx: Transaction, head: bytes, size: int, restored: int) -> LogPosition:
    """Where the record stands under `head`, one of its own, for who saw a head over `size` entries
    after `restored` restorations (0, 0: nothing).

    Where that is more than there is nothing is proved: whoever asks finds out.
    """
    since = restorations(tx, restored) if size else []
    left, to = common(size, [k.restoration for k in since]), parse_head(head).size
    growth = prove_growth(tx, left, to) if 0 < left <= to else []
    return LogPosition(head, tuple(growth), tuple(k.envelope for k in since))


def last_position(tx: Transaction, size: int, restored: int) -> LogPosition | None:
    """The same under the last head that was signed, None where there is none yet."""
    heads = tx.log.heads(tx.log.size() + 1, 1)
    return position(tx, heads[-1], size, restored) if heads else None


def require_whole(tx: Transaction, seen: Checkpoint, where: str) -> None:
    """That the record goes on from the head `seen`, which was kept outside the store at `where`:
    checked at every start, as gateways and machines check it (`require_follows`).

    Raises Refused (CONTROLLER_BEHIND): the record was cut, deleted or rewritten, or an old copy of
    the registry was put back. The caller MUST have verified the head's signature.
    """
    size = tx.log.size()
    try:
        root = Frontier.resume(size, tx.log.node).root.hex()
        own = Checkpoint(seen.fleet, size, root, tx.now_ms, restored_times(tx))
        since = [k.restoration for k in restorations(tx, seen.restorations)]
        left = common(seen.size, since)
        growth = prove_growth(tx, left, size) if 0 < left <= size else []
        require_follows(seen, own, since, growth)
    except KeyError as error:
        wanted = f"the record that {where} saw"
        raise Refused.of(
            Reason.CONTROLLER_BEHIND, wanted, "one with nodes missing", RESTORE
        ) from error
    except Refused as error:
        failure = error.failures[0]
        raise Refused(
            [replace(failure, expected=f"{failure.expected}, as {where} says")]
        ) from error
