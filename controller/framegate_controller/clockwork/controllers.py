"""Controllers of a fleet know each other's issuing CAs: each tells of its own, and reads the
others'.

Each signs under its own CAs, whose keys no other has. What one of them signed opens every
controller's port and every gateway's.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged, EverybodyAttests, Notice
from framegate_controller.fleet.controllers import other_authorities
from framegate_controller.store.ports import KnownController, Store
from framegate_controller.store.ports.controllers import READS, SIGN_OF_LIFE_MS


def look_around(store: Store, fleet: Fleet) -> tuple[Notice, ...]:
    """Tell of this controller's issuing CAs, and of what this version reads, where they are others
    now, or it was long ago; know those of the others. Where these changed, gateways hear of it, and
    every machine attests.
    """
    own = tuple(c.public_bytes(Encoding.DER) for c in fleet.keys.own)
    with store.reading() as tx:
        known = tx.controllers.all()
        mine = next((c for c in known if c.name == fleet.controller), None)
        late = mine is None or tx.now_ms - mine.seen_ms > SIGN_OF_LIFE_MS
        beside = other_authorities(tx, fleet.keys.root.certificate, fleet.controller)
    if mine is None or late or (mine.authorities, mine.reads) != (own, READS):
        with store.writing() as tx:
            tx.controllers.put(KnownController(fleet.controller, own, tx.now_ms))
    return (AccessChanged(), EverybodyAttests()) if fleet.ring.meet(beside) else ()
