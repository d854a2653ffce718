"""Whether a gateway's receipts are whole: each leaf once and in one batch, and no gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from framegate.record.merkle import data_tree
from framegate.signed.receipt import ReceiptBatch
from framegate_gateway.receipts.batch_rows import BatchRow, stored_batches
from framegate_gateway.receipts.rows import LeafRow, coming_leaves, stored_leaves
from framegate_host.sqlite_file import open_sqlite


@dataclass(frozen=True, slots=True)
class KeptReceipts:
    """What a `receipts.db` has at one moment: settled `leaves`, the ids of all, batches."""

    leaves: Sequence[LeafRow]
    ids: Counter[str]
    batches: Sequence[BatchRow]

    @classmethod
    def of(cls, path: Path) -> KeptReceipts:
        """Of the file at `path`, beside the gateway that has it open or without one."""
        connection = open_sqlite(path)
        try:
            connection.execute("BEGIN")
            leaves = list(stored_leaves(connection, "ORDER BY leaves.number", ()))
            coming = coming_leaves(connection, "ORDER BY leaves.number", ())
            ids = Counter(leaf.id for leaf in (*leaves, *coming))
            batches = list(stored_batches(connection, "ORDER BY batches.number"))
        finally:
            connection.close()
        return cls(leaves, ids, batches)

    def problems(self, *, all_signed: bool) -> Iterator[str]:
        """What is wrong with them; `all_signed`: whether no leaf may be without a batch.

        1. nothing has a leaf twice; 2. batches follow each other without a gap, each leaf is in
        one, and its root is theirs.
        """
        yield from (f"leaf {one} twice" for one, count in self.ids.items() if count > 1)  # 1
        at = 1
        for batch in self.batches:  # 2
            inside = [leaf for leaf in self.leaves if batch.first <= leaf.number < batch.end]
            root = data_tree([leaf.leaf for leaf in inside]).root.hex()
            if batch.first != at or len(inside) != batch.count:
                yield f"batch {batch.number} from {batch.first}, not {at}: {len(inside)} leaves"
            if ReceiptBatch.parse_payload(batch.payload).root != root:
                yield f"batch {batch.number} has another root than its leaves"
            at = batch.end
        if all_signed and self.leaves and at != self.leaves[-1].number + 1:
            yield f"leaves from {at} on are in no batch"
