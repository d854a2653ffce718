"""Receipts of other sites: what is pinned of them is asked for each time, because a site that was
withdrawn since would still count by what was kept.
"""

from __future__ import annotations

from framegate.errors import Reason, Refused
from framegate.federation.bundle import bundle_of, parse_bundle
from framegate.federation.receipts import KnownSite, SiteReceipts, SiteStanding
from framegate_operator.contexts import OperatorContext
from framegate_operator.sites import known_sites, site_named


def receipts_of_sites(
    operator: OperatorContext, wanted: str, *, need_camera: bool, need_log: bool
) -> SiteReceipts:
    """What verifies receipts of the site `wanted`, or where that is empty of any site, this one
    among them. Raises Refused (SITE_UNKNOWN, SITE_WITHDRAWN), naming the site.
    """
    reply = known_sites(operator)
    here = KnownSite(
        name=f"{reply.fleet}, which is this one",
        bundle=parse_bundle(bundle_of([operator.root_certificate])),
    )
    if wanted and site_named(reply, wanted).standing != SiteStanding.TRUSTED:
        hint = "nothing of it counts; framegate site show " + wanted
        raise Refused.of(Reason.SITE_WITHDRAWN, "a site that is trusted", ascii(wanted), hint)
    others = [
        KnownSite(
            name=row.name,
            bundle=parse_bundle(row.bundle),
            standing=SiteStanding(row.standing),
        )
        for row in reply.sites
    ]
    ordered = sorted(others, key=lambda s: (s.name != wanted, s.name))
    return SiteReceipts(
        known=(*ordered, here), wanted=wanted, need_camera=need_camera, need_log=need_log
    )
