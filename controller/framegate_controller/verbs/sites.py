"""Other sites: whose bundle counts here, and whose counts no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.federation.bundle import TrustBundle, parse_bundle
from framegate.federation.receipts import SiteStanding
from framegate.identity.certificates import from_ms, request_key, spki_of
from framegate.identity.names import parse_name
from framegate.record.federation_events import SitePinned, SiteVisited
from framegate.registry.site import MAX_SITES, Site, parse_endpoint
from framegate.wire import sha256
from framegate_controller.ca.issue import issue_visitor
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.people.operators import visits
from framegate_controller.people.visits import withdraw_site
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class SitesView:
    """Every site, and the time by the controller's clock (ms since the epoch)."""

    sites: tuple[Site, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site at a moment."""

    site: Site
    now_ms: int


@dataclass(frozen=True, slots=True)
class ListSites(Verb[SitesView]):
    """Other sites, those that were withdrawn among them."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("site.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[SitesView]:
        """See `Verb.run`."""
        return Outcome(SitesView(tuple(tx.sites.all()), tx.now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSite(Verb[SiteView]):
    """Pin another fleet's bundle, or another one of the same fleet in its place."""

    name: str
    endpoint: str
    raw: bytes
    bundle: TrustBundle

    @classmethod
    def parse(cls, request: pb.AddSiteRequest) -> Self:
        """Raises Malformed (USAGE, SITE_BUNDLE)."""
        return cls(
            name=parse_name(request.name, "site"),
            endpoint=parse_endpoint(request.endpoint),
            raw=request.bundle,
            bundle=parse_bundle(request.bundle),
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        keys = ", ".join(k[:16] for k in sorted(self.bundle.keys))
        told = f"trust fleet {self.bundle.fleet} at {self.endpoint} as {self.name}, keys {keys}"
        return Aim("site.add", target=self.name, summary=told)

    def run(self, tx: Transaction, call: Call) -> Outcome[SiteView]:
        """See `Verb.run`.

        1. the fleet is not this one; 2. no other site that is trusted is of the same fleet; 3. a
        site that is trusted stays of the fleet that it is of, and its bundle does not go back; 4.
        there is room. Raises Refused (CONFLICT, SITE_BUNDLE).
        """
        known = tx.sites.get(self.name)
        if self.bundle.fleet == call.fleet.name:  # 1
            hint = "fleets that know each other have different names"
            wanted = f"a bundle of a fleet that is not called {call.fleet.name}"
            raise Refused.of(Reason.CONFLICT, wanted, "this fleet's name", hint)
        for site in tx.sites.all():  # 2
            trusted = site.standing is SiteStanding.TRUSTED and site.name != self.name
            if trusted and site.pinned.fleet == self.bundle.fleet:
                hint = f"framegate site withdraw {site.name}"
                wanted = f"no other site of fleet {self.bundle.fleet}"
                raise Refused.of(Reason.CONFLICT, wanted, site.name, hint)
        if known is not None and known.standing is SiteStanding.TRUSTED:
            self._replaces(known)
        elif known is None and len(tx.sites.all()) >= MAX_SITES:  # 4
            raise Refused.of(Reason.CONFLICT, f"at most {MAX_SITES} sites", "one more")
        site = Site(
            name=self.name,
            endpoint=self.endpoint,
            bundle=self.raw,
            sequence=self.bundle.sequence,
            refresh_s=self.bundle.refresh_s,
            standing=SiteStanding.TRUSTED,
            added_ms=tx.now_ms,
            by=call.actor,
        )
        tx.sites.put(site)
        keys = tuple(sorted(self.bundle.keys))
        tx.record(
            SitePinned(
                site=self.name,
                fleet=self.bundle.fleet,
                endpoint=self.endpoint,
                sequence=self.bundle.sequence,
                keys=keys,
            )
        )
        return Outcome(SiteView(site, tx.now_ms), (AccessChanged(grants=False),))

    def _replaces(self, known: Site) -> None:  # 3
        pinned, hint = known.pinned, f"framegate site withdraw {self.name}"
        if pinned.fleet != self.bundle.fleet:
            wanted = f"a bundle of fleet {pinned.fleet}, which {self.name} is"
            raise Refused.of(Reason.CONFLICT, wanted, self.bundle.fleet, hint)
        if self.bundle.sequence < known.sequence:
            wanted = f"sequence {known.sequence} or later"
            seen = f"sequence {self.bundle.sequence}: it goes back"
            raise Refused.of(Reason.SITE_BUNDLE, wanted, seen, hint)


@dataclass(frozen=True, slots=True)
class WithdrawSite(Verb[SiteView]):
    """Let nothing of a site count any more, from this moment on."""

    name: str

    @classmethod
    def parse(cls, request: pb.SiteRequest) -> Self:
        """Raises Malformed (USAGE)."""
        return cls(parse_name(request.name, "site"))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        told = f"let nothing of {self.name} count any more"
        return Aim("site.withdraw", target=self.name, summary=told)

    def run(self, tx: Transaction, call: Call) -> Outcome[SiteView]:
        """See `Verb.run`. Raises Refused (SITE_UNKNOWN, SITE_WITHDRAWN)."""
        site = tx.sites.get(self.name)
        if site is None:
            hint = "framegate site list"
            raise Refused.of(Reason.SITE_UNKNOWN, "a site that is known here", self.name, hint)
        if site.standing is SiteStanding.WITHDRAWN:
            raise Refused.of(Reason.SITE_WITHDRAWN, "a site that is trusted", self.name)
        gone = withdraw_site(tx, site)
        return Outcome(SiteView(gone, tx.now_ms), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class Vouched:
    """A certificate with its issuer behind it (DER), and until when it lives."""

    chain: tuple[bytes, ...]
    expires_ms: int


@dataclass(frozen=True, slots=True)
class VisitSite(Verb[Vouched]):
    """Have this site vouch for the caller at another one: a certificate of minutes, for that site
    alone.
    """

    WRITES: ClassVar[bool] = True

    fleet: str
    csr: bytes

    @classmethod
    def parse(cls, request: pb.VisitSiteRequest) -> Self:
        """Raises Malformed (USAGE)."""
        return cls(parse_name(request.fleet, "fleet"), request.csr)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("site.visit", target=self.fleet)

    def run(self, tx: Transaction, call: Call) -> Outcome[Vouched]:
        """See `Verb.run`.

        1. the other site counts here; 2. the caller is no visitor themselves: a site vouches for
        its own people; 3. the key is theirs, and had no session. Raises Malformed (CSR_KEY),
        Refused (SITE_UNKNOWN, WRONG_ROLE, CONFLICT).
        """
        sites = [s for s in tx.sites.all() if s.standing is SiteStanding.TRUSTED]
        if all(s.pinned.fleet != self.fleet for s in sites):  # 1
            hint = "framegate site list"
            raise Refused.of(Reason.SITE_UNKNOWN, "a fleet that counts here", self.fleet, hint)
        if visits(tx.people.find(call.caller.name)):  # 2
            wanted, seen = "somebody of this fleet", "a visitor of another site"
            raise Refused.of(Reason.WRONG_ROLE, wanted, seen, "sign in there from your own site")
        key = request_key(self.csr)
        if tx.people.session(sha256(spki_of(key))) is not None:  # 3
            raise Refused.of(Reason.CONFLICT, "a key made for this visit", "that of a session")
        if call.dry_run:
            return Outcome(Vouched((), 0))
        keys = call.fleet.keys
        leaf = issue_visitor(keys, call.caller.name, key, self.fleet, from_ms(tx.now_ms))
        tx.record(SiteVisited(fleet=self.fleet))
        chain = (leaf.public_bytes(Encoding.DER), keys.issuing["operator-ca"].der)
        expires_ms = int(leaf.not_valid_after_utc.timestamp() * 1000)
        return Outcome(Vouched(chain, expires_ms))
