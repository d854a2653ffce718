"""Who is no stranger at the join port: read from the registry where that has changed."""

from __future__ import annotations

from framegate_controller.joinport.messages import MAX_KNOWN, Known
from framegate_controller.store.ports import Store


class KnownAtPort:
    """EKs of machines and open tickets. Every change of either is an entry of the record, so that
    its size says whether to look.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._size = store, -1
        self._known = Known(eks=b"", tickets=b"")

    def now(self) -> Known:
        """As of now. A ticket that ends meanwhile is told with the next change: the controller
        looks at every one itself.
        """
        with self._store.reading() as tx:
            size = tx.log.size()
            if size != self._size:
                eks, tickets = tx.devices.eks(), tx.tickets.open(tx.now_ms)
                self._known = Known(
                    eks=b"".join(eks[:MAX_KNOWN]), tickets=b"".join(tickets[:MAX_KNOWN])
                )
                self._size = size
        return self._known
