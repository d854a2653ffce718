"""Heads of the record outside the store: no start on a record that is less than they say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from framegate.errors import Reason, Refused
from framegate.record.verify import AuditRefused, LogAnchor, verify_head
from framegate.signed.dsse import parse_envelope
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.ledger import require_whole
from framegate_controller.store.ports import Store
from framegate_host.witness_file import last_head


def require_witnessed(store: Store, keys: FleetKeys, witnesses: Iterable[Path]) -> None:
    """That the record was not cut, deleted or rewritten since the last head in each of `witnesses`.

    A file that is not there says nothing. Raises Refused (AUDIT), Malformed.
    """
    anchor = LogAnchor(root=keys.root.certificate)
    for path in witnesses:
        last = last_head(path)
        if last is None:
            continue
        try:
            verify_head(last, anchor, keys.fleet)
        except AuditRefused as error:
            wanted = f"heads signed by this fleet's log key in {path}"
            hint = "restore it; it was edited, or is another fleet's"
            raise Refused.of(Reason.AUDIT, wanted, str(error), hint) from error
        with store.reading() as tx:
            require_whole(tx, parse_envelope(last, Checkpoint.TYPE).payload)
