"""Heads of the record outside the store: no start on a record that is less than they say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from framegate.errors import Reason, Refused
from framegate.record.verify import AuditRefused, LogAnchor, verify_head
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.ledger import require_whole
from framegate_controller.store.ports import Store
from framegate_host.witness_file import last_head


def require_witnessed(store: Store, keys: FleetKeys, witnesses: Iterable[Path]) -> None:
    """That the record was not cut, deleted, rewritten or set back since the last head in each of
    `witnesses`.

    A file that is not there says nothing. Raises Refused (CONTROLLER_BEHIND, AUDIT), Malformed.
    """
    for path in witnesses:
        head = witnessed(path, keys)
        if head is not None:
            with store.reading() as tx:
                require_whole(tx, head, str(path))


def witnessed(path: Path, keys: FleetKeys) -> Checkpoint | None:
    """The last head in a file, verified; None where there is none. Raises Refused (AUDIT),
    Malformed.
    """
    last = last_head(path)
    return verified(last, path, keys) if last is not None else None


def verified(envelope: bytes, path: Path, keys: FleetKeys) -> Checkpoint:
    """A head that stands in the file `path`. Raises Refused (AUDIT)."""
    try:
        return verify_head(envelope, LogAnchor(root=keys.root.certificate), keys.fleet)
    except AuditRefused as error:
        wanted = f"heads signed by this fleet's log key in {path}"
        hint = "restore it; it was edited, or is another fleet's"
        raise Refused.of(Reason.AUDIT, wanted, str(error), hint) from error
