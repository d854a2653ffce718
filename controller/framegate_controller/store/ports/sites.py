"""Other sites as rows."""

from __future__ import annotations

from typing import Protocol

from framegate.registry.site import Site


class SitesKept(Protocol):
    """Other fleets that this one knows; one that was withdrawn stays, so that it is known as
    that.
    """

    def all(self) -> list[Site]:
        """By name."""

    def get(self, name: str) -> Site | None:
        """One."""

    def put(self, site: Site) -> None:
        """Keep one."""
