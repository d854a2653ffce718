"""The issuing CAs of a fleet's other controllers, as the registry has them."""

from __future__ import annotations

import logging
from typing import Final

from cryptography import x509

from framegate.errors import FramegateError
from framegate.identity.certificates import load_authorities
from framegate_controller.ca.template import LIVES
from framegate_controller.store.ports import Transaction
from framegate_controller.store.ports.controllers import SIGN_OF_LIFE_MS

log = logging.getLogger(__name__)
FORGOTTEN_MS: Final = int(max(LIVES.values()).total_seconds() * 1000) + 24 * SIGN_OF_LIFE_MS
"""A controller that was not there for so long is known no more: nothing it signed can be alive."""


def other_authorities(
    tx: Transaction, root: x509.Certificate, me: str
) -> tuple[x509.Certificate, ...]:
    """Issuing CAs of the controllers but `me` that were there of late, each signed by the root
    itself: whoever can write to the database makes no CA of this fleet.
    """
    beside: list[x509.Certificate] = []
    for controller in tx.controllers.all():
        if controller.name == me or tx.now_ms - controller.seen_ms > FORGOTTEN_MS:
            continue
        try:
            beside += load_authorities(controller.authorities, root)
        except FramegateError:
            log.exception("issuing CAs of %s are not this fleet's", controller.name)
    return tuple(beside)
