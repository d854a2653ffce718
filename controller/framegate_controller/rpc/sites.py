"""Rows of the operator's port: other sites."""

from __future__ import annotations

from typing import Any, Final

from framegate.registry.site import Site
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.sites import (
    AddSite,
    ListSites,
    SitesView,
    SiteView,
    VisitSite,
    Vouched,
    WithdrawSite,
)
from framegate_proto.v1 import framegate_pb2 as pb


def _row(site: Site, now_ms: int) -> pb.SiteRow:
    return pb.SiteRow(
        name=site.name,
        fleet=site.pinned.fleet,
        endpoint=site.endpoint,
        bundle=site.bundle,
        sequence=site.sequence,
        refresh_s=site.refresh_s,
        standing=site.standing,
        link=site.link(now_ms),
        seen_ms=site.seen_ms,
        failing_ms=site.failing_ms,
        failures=site.failures,
        error=site.error,
        offered=site.offered,
        by=site.by,
        added_ms=site.added_ms,
        withdrawn_ms=site.withdrawn_ms,
    )


def _one(view: SiteView, _fleet: Fleet) -> pb.SiteRow:
    return _row(view.site, view.now_ms)


def _all(view: SitesView, fleet: Fleet) -> pb.SitesReply:
    rows = [_row(s, view.now_ms) for s in view.sites]
    return pb.SitesReply(sites=rows, fleet=fleet.name, now_ms=view.now_ms)


def _vouched(vouched: Vouched, _fleet: Fleet) -> pb.VisitSiteReply:
    return pb.VisitSiteReply(chain=vouched.chain, expires_ms=vouched.expires_ms)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ListSites", ListSites.parse, _all),
    Rpc("AddSite", AddSite.parse, _one),
    Rpc("WithdrawSite", WithdrawSite.parse, _one),
    Rpc("VisitSite", VisitSite.parse, _vouched),
)
