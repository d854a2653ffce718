"""Keeps what is known of other sites fresh: each is asked for its bundle as often as it wants.

Nothing here gives trust, and nothing here takes it: what people pinned counts until people
withdraw it, whether the link is there or not.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from framegate.errors import FramegateError, Unavailable
from framegate.federation.bundle import TrustBundle
from framegate.federation.receipts import SiteStanding
from framegate.federation.refresh import Refreshed, refreshed
from framegate.record.event import Event
from framegate.record.federation_events import (
    SiteBundleRefused,
    SiteKeyOffered,
    SiteReachable,
    SiteUnreachable,
)
from framegate.registry.site import Site
from framegate_controller.events.notices import Notice
from framegate_controller.federation.fetch import fetch_bundle
from framegate_controller.store.ports import Store

LOOK_S: Final = 1.0
"""Between two looks at whose turn it is."""
AT_ONCE: Final = 8
"""Sites that are asked beside each other: one whose network swallows packets holds up no more."""
RETRY_S: Final = 30
"""After a failure, where the site's own time is longer: a link that is mended is seen soon."""
MAX_ERROR: Final = 300

Fetch = Callable[[str, TrustBundle], TrustBundle]


@dataclass(frozen=True, slots=True)
class Look:
    """What came of asking one site: what its bundle means, or what is wrong and whether that is
    the link alone.
    """

    site: Site
    held: Refreshed | None = None
    wrong: FramegateError | None = None


class SiteWatch:
    """Asks the sites whose turn it is. One controller of several does so."""

    def __init__(self, store: Store, fetch: Fetch = fetch_bundle) -> None:
        self._store, self._fetch = store, fetch
        self._asked_ms: dict[str, int] = {}

    def look(self) -> tuple[Notice, ...]:
        """Ask, and write down what came; blocking, as long as the slowest answer."""
        with self._store.reading() as tx:
            now_ms, due = tx.now_ms, [s for s in tx.sites.all() if self._due(s, tx.now_ms)]
        if not due:
            return ()
        self._asked_ms |= {s.name: now_ms for s in due}
        with ThreadPoolExecutor(AT_ONCE, "sites") as pool:
            looks = list(pool.map(self._ask, due))
        with self._store.writing() as tx:
            for look in looks:
                site = tx.sites.get(look.site.name)
                if site is None or not _same(site, look.site):
                    continue  # people decided something else meanwhile
                changed = after(site, look, tx.now_ms)
                tx.sites.put(changed.site)
                for told in changed.events:
                    tx.record(told)
        return ()

    def _due(self, site: Site, now_ms: int) -> bool:
        if site.standing is not SiteStanding.TRUSTED:
            return False
        every_s = min(site.refresh_s, RETRY_S) if site.failing_ms else site.refresh_s
        last_ms = max(self._asked_ms.get(site.name, 0), site.seen_ms)
        return site.added_ms > last_ms or now_ms - last_ms >= every_s * 1000

    def _ask(self, site: Site) -> Look:
        pinned = site.pinned
        try:
            fetched = self._fetch(site.endpoint, pinned)
            return Look(site, held=refreshed(pinned, site.sequence, fetched))
        except FramegateError as error:
            return Look(site, wrong=error)


@dataclass(frozen=True, slots=True)
class Changed:
    """A site after a look, and what the record is told."""

    site: Site
    events: tuple[Event, ...]


def after(site: Site, look: Look, now_ms: int) -> Changed:
    """What a look changes; each change is told once, and a failure that goes on is not."""
    if look.wrong is not None:
        first = look.wrong.failures[0]
        text = str(first)[:MAX_ERROR]
        again = replace(
            site,
            failing_ms=site.failing_ms or now_ms,
            failures=site.failures + 1,
            error=text,
        )
        if site.failing_ms and _kind(site.error) == first.reason.value:
            return Changed(again, ())
        if isinstance(look.wrong, Unavailable):
            return Changed(again, (SiteUnreachable(site=site.name, why=text),))
        told = SiteBundleRefused(site=site.name, reason=first.reason.value, why=text)
        return Changed(again, (told,))
    if look.held is None:
        return Changed(site, ())
    held, events = look.held, list[Event]()
    if site.failing_ms or not site.seen_ms:
        events.append(SiteReachable(site=site.name, sequence=held.sequence))
    if new := tuple(k for k in held.offered if k not in site.offered):
        events.append(SiteKeyOffered(site=site.name, keys=new))
    fresh = replace(
        site,
        sequence=held.sequence,
        refresh_s=held.refresh_s,
        offered=held.offered,
        seen_ms=now_ms,
        failing_ms=0,
        failures=0,
        error="",
    )
    return Changed(fresh, tuple(events))


def _same(site: Site, asked: Site) -> bool:
    return (site.bundle, site.endpoint, site.standing) == (
        asked.bundle,
        asked.endpoint,
        asked.standing,
    )


def _kind(error: str) -> str:
    return error.partition(":")[0]
