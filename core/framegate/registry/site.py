"""Another site: a fleet of its own, what was pinned of it here, and how the link to it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.federation.bundle import TrustBundle, parse_bundle
from framegate.federation.receipts import KnownSite, SiteStanding

MAX_SITES: Final = 32
"""Plants of one company; each is asked for its bundle every few minutes."""
MAX_ENDPOINT: Final = 300
STALE_AFTER: Final = 3
"""Refreshes that may fail one after another before a link is called down: a restart is one."""


class Link(StrEnum):
    """How the link to a site is. It decides nothing but what people are shown."""

    UP = "up"
    STALE = "stale"
    DOWN = "down"
    NEVER = "never"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site as a row. `bundle` are the bytes that people approved; `sequence` is the highest that
    its endpoint has shown. `seen_ms` is when its bundle was fetched and held last, 0 never;
    `failing_ms` since when it was not, 0 where it was; `offered` are keys that it shows and nobody
    approved. Times in ms since the epoch.
    """

    name: str
    endpoint: str
    bundle: bytes
    sequence: int
    refresh_s: int
    standing: SiteStanding
    added_ms: int
    by: str
    seen_ms: int = 0
    failing_ms: int = 0
    failures: int = 0
    error: str = ""
    offered: tuple[str, ...] = ()
    withdrawn_ms: int = 0

    @property
    def pinned(self) -> TrustBundle:
        """What people approved."""
        return parse_bundle(self.bundle)

    @property
    def known(self) -> KnownSite:
        """As whoever verifies what it signed has to know it."""
        return KnownSite(name=self.name, bundle=self.pinned, standing=self.standing)

    def link(self, now_ms: int) -> Link:
        """How the link is at `now_ms`: up where the last refresh held and none is overdue, stale
        where some failed, down where more than `STALE_AFTER` refreshes' time went by without one.
        """
        if self.standing is SiteStanding.WITHDRAWN:
            return Link.WITHDRAWN
        if not self.seen_ms:
            return Link.NEVER
        age_ms = now_ms - self.seen_ms
        if age_ms > STALE_AFTER * self.refresh_s * 1000:
            return Link.DOWN
        late = age_ms > 2 * self.refresh_s * 1000
        return Link.STALE if self.failing_ms or late else Link.UP


def parse_endpoint(endpoint: str) -> str:
    """Where a site's bundle is fetched: host:port. Raises Malformed (USAGE)."""
    host, _, port = endpoint.rpartition(":")
    plain = host.isascii() and all(c.isalnum() or c in "-._:[]" for c in host)
    good = port.isascii() and port.isdigit() and 0 < int(port) < 65_536
    if not (host and plain and good and len(endpoint) <= MAX_ENDPOINT):
        raise Malformed.of(Reason.USAGE, "an endpoint, host:port", ascii(endpoint[:80]))
    return endpoint
