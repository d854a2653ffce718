"""Who is no stranger at the join port: read from the registry once, and then of those machines of
which the record speaks anew.
"""

from __future__ import annotations

from typing import Final

from framegate.identity.names import DeviceId
from framegate.record.machine_events import Attested
from framegate.registry.ticket import Ticket
from framegate_controller.joinport.messages import MAX_KNOWN, Known
from framegate_controller.store.ports import Store, Transaction

MOST_ANEW: Final = 1_000
"""Machines that are read by their names at once; where more changed, all are read."""
_SAME: Final = Attested.DECLARED.names[0]
"""What most entries of a fleet say."""


class KnownAtPort:
    """EKs of machines and open tickets. Every change of either is an entry of the record that names
    its machine; that it attested changes neither.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._size = store, -1
        self._eks: dict[DeviceId, bytes] = {}
        self._tickets: dict[DeviceId, Ticket] = {}
        self._known = Known(eks=b"", tickets=b"")

    def now(self) -> Known:
        """As of now. A ticket that ends meanwhile is told with the next change: the controller
        looks at every one itself.
        """
        with self._store.reading() as tx:
            size = tx.log.size()
            if size == self._size or not self._read(tx, size):
                return self._known
            now_ms = tx.now_ms
        tickets = [t.code_sha256 for t in self._tickets.values() if t.expires_ms > now_ms]
        self._known = Known(
            eks=b"".join(list(self._eks.values())[:MAX_KNOWN]),
            tickets=b"".join(tickets[:MAX_KNOWN]),
        )
        return self._known

    def _read(self, tx: Transaction, size: int) -> bool:
        """Take in what is new of a record of `size` entries; whether there was anything."""
        # a record that became shorter is another one: a copy that was put in its place
        fresh = self._size < 0 or size < self._size
        changed = set() if fresh else tx.log.spoken_of(self._size, but_event=_SAME)
        if not fresh and not changed:
            self._size = size
            return False
        of = None if fresh or len(changed) > MOST_ANEW else changed
        eks, tickets = tx.devices.eks(of), {t.device: t for t in tx.tickets.unused(of)}
        if of is not None:
            eks = {d: ek for d, ek in self._eks.items() if d not in of} | eks
            tickets = {d: t for d, t in self._tickets.items() if d not in of} | tickets
        self._eks, self._tickets, self._size = eks, tickets, size
        return True
