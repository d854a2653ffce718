"""People of other sites: sessions that their own site vouches for, under a mapping of this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.federation.bundle import TrustBundle
from framegate.federation.receipts import SiteStanding
from framegate.federation.visit import claimed_fleet, issuer_of, verified_visit
from framegate.identity.certificates import from_ms
from framegate.record.federation_events import SiteWithdrawn
from framegate.registry.site import Site
from framegate_controller.context import Fleet
from framegate_controller.people.operators import end_visits
from framegate_controller.people.sessions import Opening, SignedIn, open_session
from framegate_controller.store.ports import Transaction

VISIT: Final = "visit"
"""The method of a session of somebody of another site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody who wants in: their site's certificate for them with its issuers behind it (DER),
    the key that their request proved, and from where.
    """

    chain: Sequence[bytes]
    key: ec.EllipticCurvePublicKey
    source: str


def open_visit(tx: Transaction, fleet: Fleet, visit: Visit) -> SignedIn:
    """The session of a person of another site; it ends when that site vouches for them no longer.

    1. their site counts here now; 2. it vouches for them, at this fleet, and for this key
    (`verified_visit`); 3. a mapping of this fleet names exactly them. They have shown no factor
    here, and their roles are the mapping's.

    Raises Malformed, Refused.
    """
    pinned = _trusted(tx, claimed_fleet(visit.chain[0] if visit.chain else b""))  # 1
    now = from_ms(tx.now_ms)
    visitor = verified_visit(pinned, visit.chain, visit.key, fleet.name, now)  # 2
    person = tx.people.by_subject(visitor.issuer, visitor.person)
    if person is None or not person.enabled:  # 3
        raise Refused.of(Reason.SIGN_IN, "a person whom this fleet maps", visitor.person)
    life_ms = int((visitor.until - now).total_seconds() * 1000)
    opening = Opening(
        key=visit.key, method=VISIT, source=visit.source, life_ms=life_ms, factor_ms=0
    )
    return open_session(tx, fleet, person, opening)


def withdraw_site(tx: Transaction, site: Site, *, by: str = "") -> Site:
    """Let nothing of a site count any more: its bundle, and every session of its people."""
    gone = replace(site, standing=SiteStanding.WITHDRAWN, withdrawn_ms=tx.now_ms, offered=())
    tx.sites.put(gone)
    fleet = site.pinned.fleet
    ended = end_visits(tx, issuer_of(fleet))
    tx.record(SiteWithdrawn(site=site.name, fleet=fleet, sessions=ended), by=by)
    return gone


def _trusted(tx: Transaction, fleet: str) -> TrustBundle:
    for site in tx.sites.all():
        if site.standing is SiteStanding.TRUSTED and site.pinned.fleet == fleet:
            return site.pinned
    raise Refused.of(Reason.SITE_UNKNOWN, "a site that counts here", fleet)
