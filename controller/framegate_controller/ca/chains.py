"""Chains that were verified once: the caller of a connection shows the same certificate with every
call, and a watching machine is asked for each second, while what its signatures say stays the same.
"""

from __future__ import annotations

from collections import OrderedDict
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
class _Shown:
    """What a verification rests on, its moment left out: with another CA it is another one."""

    leaf: x509.Certificate
    purpose: Purpose
    root: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class _Chain:
    """It holds at every moment from `since` to `until`, both included."""

    identity: VerifiedCertificate
    since: datetime
    until: datetime


class VerifiedChains:
    """What `verify_certificate` established, for as long as it cannot say anything else. Only what
    was accepted is remembered. Any thread.
    """

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most, self._lock = most, Lock()
        self._known: OrderedDict[_Shown, _Chain] = OrderedDict()

    def known(
        self, leaf: x509.Certificate, purpose: Purpose, keys: FleetKeys, now: datetime
    ) -> VerifiedCertificate | None:
        """What is remembered of it, if that holds at `now`: no signature is looked at."""
        known = self._known.get(_shown(leaf, purpose, keys))
        return known.identity if known is not None and known.since <= now <= known.until else None

    def verify(
        self, leaf: x509.Certificate, purpose: Purpose, keys: FleetKeys, now: datetime
    ) -> VerifiedCertificate:
        """See `verify_certificate`. Raises Refused."""
        known = self.known(leaf, purpose, keys, now)
        if known is not None:
            return known
        shown = _shown(leaf, purpose, keys)
        identity = verify_certificate(leaf, purpose, shown.intermediates, shown.root, now)
        with self._lock:
            self._known[shown] = _Chain(identity, now, _until(shown, now))
            self._known.move_to_end(shown)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return identity


def _shown(leaf: x509.Certificate, purpose: Purpose, keys: FleetKeys) -> _Shown:
    return _Shown(leaf, purpose, keys.root.certificate, keys.intermediates)


def _until(shown: _Shown, now: datetime) -> datetime:
    """Until when a chain that holds `now` holds for certain. Which of the CAs are in it is not
    said, so it is the first end of all that live: the chain's own are among them.
    """
    ends = (c.not_valid_after_utc for c in (shown.leaf, shown.root, *shown.intermediates))
    return min(end for end in ends if end >= now)
