"""A person of one site who signs in at another: what their own site vouches for, and for how long.

Their own controller signs a certificate for a key that was made for this sign-in. It lives for
minutes, names the site that it is for, and is made only while their session there stands: so a
session at the other site, which ends with it, ends with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.access.caller import OPERATOR_PREFIX
from framegate.errors import Malformed, Reason, Refused
from framegate.federation.bundle import DOMAIN_SUFFIX, TrustBundle
from framegate.federation.endpoint import under_any, uris_of
from framegate.identity.certificates import Purpose, alternative_names, load_certificate
from framegate.identity.names import parse_name

SCHEME: Final = "spiffe://"
"""What the issuer of a person of another site begins with; an OpenID provider's is https."""
VISIT_LIFE: Final = timedelta(minutes=10)
"""How long a session at another site goes on after one's own has ended, at most; and how often a
visitor's command signs in again.
"""
BACKDATED: Final = timedelta(minutes=1)
"""How long before its making such a certificate counts: two sites' clocks differ a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who signs in: their site's fleet, their name there, and until when their site vouches for
    them. Made by `verified_visit`. What they may do here, the mapping of this site says.
    """

    fleet: str
    person: str
    until: datetime

    @property
    def issuer(self) -> str:
        """As whom mappings name their site."""
        return issuer_of(self.fleet)


def issuer_of(fleet: str) -> str:
    """As whom mappings name a fleet."""
    return f"{SCHEME}{fleet}{DOMAIN_SUFFIX}"


def person_uri(fleet: str, person: str) -> str:
    """The SPIFFE ID of a person of a fleet."""
    return f"{issuer_of(fleet)}/operator/{person}"


def claimed_fleet(leaf: bytes) -> str:
    """The fleet that a visitor's certificate says it is of: whose bundle is to be asked. Nothing is
    verified. Raises Malformed, Refused (CERTIFICATE).
    """
    uris = uris_of(load_certificate(leaf))
    domain = uris[0].removeprefix(SCHEME).partition("/")[0] if len(uris) == 1 else ""
    fleet = domain.removesuffix(DOMAIN_SUFFIX)
    if not domain.endswith(DOMAIN_SUFFIX):
        raise Malformed.of(Reason.CERTIFICATE, "a person of another site", ascii(uris)[:200])
    return str(parse_name(fleet, "fleet"))


def verified_visit(
    pinned: TrustBundle,
    chain: Sequence[bytes],
    key: ec.EllipticCurvePublicKey,
    here: str,
    now: datetime,
) -> Visitor:
    """Who a certificate (DER, its issuers behind it) lets in at the fleet `here`. That the visitor
    holds `key`, a request that it signed MUST have shown.

    1. it is an operator's certificate, alive at `now`, under a key that is pinned of that site;
    2. it lives no longer than `VISIT_LIFE`: the certificate of a session there, which lives for a
       shift, is none;
    3. its only DNS name is this fleet's trust domain: one for another site is none here;
    4. its only URI is the person's SPIFFE ID in that fleet, and its common name is the same person;
    5. it is for `key`.

    Raises Malformed, Refused (CERTIFICATE, CERTIFICATE_EXPIRED).
    """
    if not chain:
        raise Refused.of(Reason.CERTIFICATE, "a certificate of another site", "none")
    leaf, *issuers = map(load_certificate, chain)
    verified = under_any(pinned, leaf, Purpose.OPERATOR, issuers, now)  # 1
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    if life > VISIT_LIFE + BACKDATED:  # 2
        raise _refused(f"a certificate of at most {VISIT_LIFE}", str(life))
    wanted = f"{here}{DOMAIN_SUFFIX}"
    names = alternative_names(leaf, x509.DNSName)
    if names != [wanted]:  # 3
        raise _refused(f"a certificate for {wanted}", ascii(names)[:200])
    person = str(parse_name(verified.common_name.removeprefix(OPERATOR_PREFIX), "person"))
    same = verified.common_name == f"{OPERATOR_PREFIX}{person}"
    uris = uris_of(leaf)
    if not same or uris != [person_uri(pinned.fleet, person)]:  # 4
        seen = f"{verified.common_name}, {ascii(uris)[:200]}"
        raise _refused(f"a person of {pinned.fleet}", seen)
    if verified.key != key:  # 5
        raise _refused("a certificate for the key of this sign-in", "one for another")
    return Visitor(fleet=pinned.fleet, person=person, until=leaf.not_valid_after_utc)


def _refused(expected: str, actual: str) -> Refused:
    return Refused.of(Reason.CERTIFICATE, expected, actual)
