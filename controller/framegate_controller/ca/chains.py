"""Chains that were verified once: the caller of a connection shows the same certificate with every
call, and a watching machine is asked for each second, while what its signatures say stays the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

from cryptography import x509

from framegate.identity.certificates import Purpose, VerifiedCertificate, verify_certificate
from framegate_controller.ca.keys import FleetKeys

MAX_REMEMBERED: Final = 4_096
"""Of callers, some kilobytes each: twice the connections of a fleet port."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """It holds at every moment from `since` to `until`, both included, under this root and these
    issuing CAs: with another one it is another verification.
    """

    identity: VerifiedCertificate
    root: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    since: datetime
    until: datetime

    def under(self, keys: FleetKeys) -> bool:
        """Whether what it rests on is what `keys` have now."""
        # a tuple compares what is the same object without looking into it
        mine, theirs = (
            (self.root, *self.intermediates),
            (keys.root.certificate, *keys.intermediates),
        )
        return mine == theirs


class VerifiedChains:
    """What `verify_certificate` established, for as long as it cannot say anything else. Only what
    was accepted is remembered, of each certificate what was established last. Any thread.
    """

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most, self._lock = most, Lock()
        self._known: OrderedDict[tuple[x509.Certificate, Purpose], _Chain] = OrderedDict()

    def known(
        self, leaf: x509.Certificate, purpose: Purpose, keys: FleetKeys, now: datetime
    ) -> VerifiedCertificate | None:
        """What is remembered of it, if that holds at `now`: no signature is looked at."""
        known = self._known.get((leaf, purpose))
        if known is None or not known.since <= now <= known.until or not known.under(keys):
            return None
        return known.identity

    def verify(
        self, leaf: x509.Certificate, purpose: Purpose, keys: FleetKeys, now: datetime
    ) -> VerifiedCertificate:
        """See `verify_certificate`. Raises Refused."""
        known = self.known(leaf, purpose, keys, now)
        if known is not None:
            return known
        root, intermediates = keys.root.certificate, keys.intermediates
        identity = verify_certificate(leaf, purpose, intermediates, root, now)
        until = _until((leaf, root, *intermediates), now)
        with self._lock:
            self._known[leaf, purpose] = _Chain(identity, root, intermediates, now, until)
            self._known.move_to_end((leaf, purpose))
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return identity


def _until(certificates: Iterable[x509.Certificate], now: datetime) -> datetime:
    """Until when a chain of some of them that holds `now` holds for certain. Which of the CAs are
    in it is not said, so it is the first end of all that live: the chain's own are among them.
    """
    ends = (c.not_valid_after_utc for c in certificates)
    return min(end for end in ends if end >= now)
