"""Events about other sites in OCSF."""

from __future__ import annotations

from typing import Final

from framegate.ocsf.classes import ENTITY
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import FAILURE, SUCCESS, Mapped, entity, maps

SITE: Final = "Trust Domain"
"""What another fleet is among entities."""


def _site(event: LoggedEvent, activity: int, status: dict[str, object]) -> Mapped:
    return Mapped(ENTITY, activity, {"entity": entity(SITE, event.member("site")), **status})


@maps("site-pinned")
def site_pinned(event: LoggedEvent) -> Mapped:
    """Another fleet counts here."""
    return _site(event, 6, dict(SUCCESS))


@maps("site-withdrawn")
def site_withdrawn(event: LoggedEvent) -> Mapped:
    """It counts no more."""
    return _site(event, 7, dict(SUCCESS))


@maps("site-visited")
def site_visited(event: LoggedEvent) -> Mapped:
    """Somebody of this fleet is vouched for there."""
    return Mapped(ENTITY, 2, {"entity": entity(SITE, event.member("fleet")), **SUCCESS})


@maps("site-unreachable")
def site_unreachable(event: LoggedEvent) -> Mapped:
    """Its bundle could not be fetched."""
    return _site(event, 2, FAILURE | {"status_detail": event.member("why")})


@maps("site-reachable")
def site_reachable(event: LoggedEvent) -> Mapped:
    """Its bundle was fetched again."""
    return _site(event, 2, dict(SUCCESS))


@maps("site-bundle-refused")
def site_bundle_refused(event: LoggedEvent) -> Mapped:
    """What it showed does not fit what was pinned."""
    return _site(event, 3, FAILURE | {"status_detail": event.member("why")})


@maps("site-key-offered")
def site_key_offered(event: LoggedEvent) -> Mapped:
    """It shows keys that nobody approved here."""
    return _site(event, 2, dict(SUCCESS))
