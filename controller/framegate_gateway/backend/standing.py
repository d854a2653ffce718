"""What an attested model server counts here: one of this fleet by the trust feed and its own root,
one of another site by what people pinned of it (N213, N214).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.federation.receipts import KnownSite, SiteStanding
from framegate.identity.certificates import from_ms, load_certificate
from framegate.identity.names import Kind, split_device_id
from framegate.signed.inference import AskedInference, verify_inference
from framegate.signed.receipt import BackendResult
from framegate_gateway.inference.attested_model import Answered, BackendTls
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import Credentials, GatewayKeys


@dataclass(frozen=True, slots=True)
class BackendName:
    """Which server is meant: its id, and the site that it is of, as people here call that; empty
    for this fleet.
    """

    id: str
    site: str = ""


class PinnedBackend:
    """One attested model server, as this gateway knows it at each moment. Whatever speaks against
    it is Unavailable (BACKEND): the model is not at fault, and goes on when the server stands.
    """

    def __init__(self, name: BackendName, keys: GatewayKeys, view: TrustView) -> None:
        """Raises Refused (BACKEND) where the id is none of a backend."""
        kind, zone, own = split_device_id(name.id)
        if kind != Kind.BACKEND:
            raise Refused.of(Reason.BACKEND, "an id backend.<zone>.<name>", name.id)
        self._name, self._keys, self._view = name, keys, view
        self.server_name = f"{own}.{zone}.{kind}.framegate"

    @property
    def id(self) -> str:
        """See `BackendStanding.id`."""
        return self._name.id

    def tls(self) -> BackendTls:
        """See `BackendStanding.tls`."""
        try:
            key, chain = self._keys.chain_pem()
            roots = b"".join(r.public_bytes(Encoding.PEM) for r in self._roots())
        except Refused as error:
            raise _unavailable(self._name, error) from error
        return BackendTls(roots, key, chain)

    def require(self) -> None:
        """That the server counts now: 1. of this fleet, its host is trusted by the feed, in this
        gateway's zone; 2. of another site, that site is pinned here and was not withdrawn, by a
        feed that is heard. Whether a host elsewhere stands, its own site says with each
        certificate, which lives ten minutes at most.

        Raises Unavailable (BACKEND).
        """
        try:
            if not self._name.site:
                self._view.require(self._name.id)  # 1
                return
            if not self._view.open:  # 2
                raise Refused.of(Reason.TRUST_FEED, "a trust feed that is heard", "silence")
            self._site()
        except Refused as error:
            raise _unavailable(self._name, error) from error

    def verified(self, signed: BackendResult, answered: Answered) -> None:
        """See `BackendStanding.verified`: the checks of `verify_inference`, under this fleet's root
        or one that is pinned of the site.
        """
        now = from_ms(self._view.now_ms())
        try:
            authorities = [load_certificate(der) for der in signed.authorities]
            *others, last = self._roots()
            for root in others:
                try:
                    verify_inference(
                        signed.envelope, self._asked(answered, root), authorities, root, now
                    )
                except FramegateError:
                    continue
                return
            verify_inference(signed.envelope, self._asked(answered, last), authorities, last, now)
        except FramegateError as error:
            raise _unavailable(self._name, error) from error

    def _asked(self, answered: Answered, root: x509.Certificate) -> AskedInference:
        return AskedInference(backend=self._name.id, fleet=_fleet_of(root), **answered._asdict())

    def _roots(self) -> Sequence[x509.Certificate]:
        if self._name.site:
            return self._site().bundle.certificates
        return (self._credentials().root,)

    def _credentials(self) -> Credentials:
        if self._keys.credentials is None:
            why = self._keys.refused or "no warrant"
            raise Refused.of(Reason.NOT_TRUSTED, "a host in standing", why)
        return self._keys.credentials

    def _site(self) -> KnownSite:
        site = self._view.access.sites.get(self._name.site)
        if site is None:
            hint = "framegate site add, at this fleet's controller"
            raise Refused.of(Reason.SITE_UNKNOWN, "a site that is pinned here", "none", hint)
        if site.standing is not SiteStanding.TRUSTED:
            raise Refused.of(Reason.SITE_WITHDRAWN, "a site that counts", "one that was withdrawn")
        return site


def _fleet_of(root: x509.Certificate) -> str:
    """The fleet that a root names as its one organization."""
    names = root.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _unavailable(name: BackendName, error: FramegateError) -> Unavailable:
    failure = error.failures[0]
    of = f" of site {name.site}" if name.site else ""
    return Unavailable.of(
        Reason.BACKEND,
        f"the backend {name.id}{of} in standing: {failure.expected}",
        f"{failure.actual} ({failure.reason.value})",
        failure.hint or "framegate backend list",
    )
