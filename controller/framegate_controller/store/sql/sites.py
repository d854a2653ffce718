"""Other sites over SQLAlchemy."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, select

from framegate.federation.receipts import SiteStanding
from framegate.registry.site import Site
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import sites

_SITES: Final = table_of(sites.SiteRow)


class SqlSites:
    """See `ports.SitesKept`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def all(self) -> list[Site]:
        """By name."""
        return [_site(r) for r in self._rows.all(select(_SITES).order_by(_SITES.c.name))]

    def get(self, name: str) -> Site | None:
        """One."""
        row = self._rows.one(select(_SITES).where(_SITES.c.name == name))
        return _site(row) if row is not None else None

    def put(self, site: Site) -> None:
        """Keep one."""
        self._rows.put(_SITES, fields_of(site) | {"offered": " ".join(site.offered)})


def _site(r: Row[Any]) -> Site:
    columns = dict(r._mapping)
    return Site(
        **columns | {"standing": SiteStanding(r.standing), "offered": tuple(r.offered.split())}
    )
