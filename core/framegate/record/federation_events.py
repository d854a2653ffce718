"""Events about other sites: which are trusted, and what came of their bundles."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("site-pinned", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SitePinned(Event):
    """Another fleet's trust bundle counts here; `keys` are SHA-256 of its roots."""

    site: str
    fleet: str
    endpoint: str
    sequence: int
    keys: tuple[str, ...]

    @property
    def detail(self) -> str:
        keys = ", ".join(k[:16] for k in self.keys)
        return f"{self.site}: fleet {self.fleet} at {self.endpoint}, keys {keys}"


@event("site-withdrawn", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SiteWithdrawn(Event):
    """A site's word counts no more: its receipts, and its people's sessions."""

    site: str
    fleet: str
    sessions: int

    @property
    def detail(self) -> str:
        ended = f"; {self.sessions} sessions of its people ended" if self.sessions else ""
        return f"{self.site}: nothing of fleet {self.fleet} counts any more{ended}"


@event("site-visited", severity=Severity.LOW, seen_by=Audience.FLEET)
class SiteVisited(Event):
    """This site vouched for one of its people at another one, for minutes."""

    fleet: str

    @property
    def detail(self) -> str:
        return f"at fleet {self.fleet}"


@event("site-unreachable", severity=Severity.LOW, seen_by=Audience.FLEET)
class SiteUnreachable(Event):
    """A site's bundle could not be fetched; what was pinned goes on counting."""

    site: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.site}: {self.why[:300]!a}"


@event("site-reachable", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class SiteReachable(Event):
    """A site's bundle was fetched, and holds, for the first time or again."""

    site: str
    sequence: int

    @property
    def detail(self) -> str:
        return f"{self.site}: its bundle has sequence {self.sequence}"


@event("site-bundle-refused", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SiteBundleRefused(Event):
    """Whoever answers for a site showed a bundle, or a certificate, that does not fit what was
    pinned; that goes on counting, and people decide.
    """

    site: str
    reason: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.site}: {self.why[:300]!a}"


@event("site-key-offered", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SiteKeyOffered(Event):
    """A site's bundle has keys that nobody approved here; they do not count so far."""

    site: str
    keys: tuple[str, ...]

    @property
    def detail(self) -> str:
        return f"{self.site} offers {', '.join(k[:16] for k in self.keys)}"
