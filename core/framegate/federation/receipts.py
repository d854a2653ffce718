"""Receipts of other sites: verified with what people pinned of them, and said to be theirs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from framegate.federation.bundle import TrustBundle
from framegate.receipt_verifier import (
    ReceiptPending,
    ReceiptRefused,
    VerifiedReceipt,
    verify_receipt,
)

SITE_CHECK: Final = "site"
"""The id of this check among a receipt's."""
BACKEND_CHECK: Final = "backend"
"""The check that is open where a model server's fleet is none that counts here."""
SIGNER: Final = "batch-signer"
"""The first check that a receipt of another fleet fails."""


class SiteStanding(StrEnum):
    """What a site's word counts here."""

    TRUSTED = "trusted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSite:
    """A site as it is known here: what people call it, its pinned bundle, and what it counts."""

    name: str
    bundle: TrustBundle
    standing: SiteStanding = SiteStanding.TRUSTED

    def __str__(self) -> str:
        return f"{self.name} (fleet {self.bundle.fleet})"


@dataclass(frozen=True, slots=True)
class SiteReceipt:
    """What a receipt proves, and the name of the site that it is of."""

    site: str
    receipt: VerifiedReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReceipts:
    """Verifies receipts of sites. `known` is as it is at this moment: whoever keeps it longer
    takes receipts of a site that was withdrawn meanwhile. `wanted` is a site's name, empty for any
    that is trusted.
    """

    known: tuple[KnownSite, ...]
    wanted: str = ""
    need_camera: bool = True
    need_log: bool = True

    def verify(self, receipt: dict[str, Any]) -> SiteReceipt:
        """What `receipt` proves.

        1. it holds under a key of a site that is known here, by every check of `verify_receipt`, a
           model server of another fleet under a key of a site that is trusted;
        2. that site is trusted now: what a site made before it was withdrawn counts no more either,
           nor what a model server of it computed;
        3. it is the wanted one, where one is.

        Raises ReceiptRefused (`site`, which names the site; else as `verify_receipt`),
        ReceiptPending.
        """
        pending: ReceiptPending | None = None
        refusals: dict[str, ReceiptRefused] = {}
        for site in self.known:
            for root in site.bundle.pems:
                try:
                    verified = self._under(receipt, root, SiteStanding.TRUSTED)
                except ReceiptPending as error:
                    if error.check == BACKEND_CHECK:
                        self._require_no_server_of_withdrawn(receipt, root)
                    if error.so_far is None:
                        raise
                    pending, verified = error, error.so_far
                except ReceiptRefused as error:
                    if error.check != SIGNER:
                        raise
                    refusals.setdefault(site.name, error)
                    continue
                self._counts(site)
                if pending is not None:
                    raise pending
                return SiteReceipt(site.name, verified)
        raise self._of_nobody(refusals)  # 1

    def _under(self, receipt: Any, root: bytes, standing: SiteStanding) -> VerifiedReceipt:
        """What it proves under `root`, a model server elsewhere under the sites of `standing`."""
        others = [pem for s in self.known if s.standing is standing for pem in s.bundle.pems]
        return verify_receipt(
            receipt,
            root,
            need_camera=self.need_camera,
            need_log=self.need_log,
            site_roots=others,
        )

    def _require_no_server_of_withdrawn(self, receipt: Any, root: bytes) -> None:
        """2, of one that no trusted site vouches for."""
        try:
            proof = self._under(receipt, root, SiteStanding.WITHDRAWN).backend
        except ReceiptPending as error:
            proof = error.so_far.backend if error.so_far is not None else None
        except ReceiptRefused:
            return
        if proof is not None:
            raise ReceiptRefused(
                SITE_CHECK,
                f"computed on {proof.backend} of fleet {proof.fleet}, a site that was withdrawn:"
                " nothing of it counts here",
            )

    def _counts(self, site: KnownSite) -> None:
        if site.standing is not SiteStanding.TRUSTED:  # 2
            raise ReceiptRefused(
                SITE_CHECK, f"it is of site {site}, which was withdrawn: nothing of it counts here"
            )
        if self.wanted and site.name != self.wanted:  # 3
            raise ReceiptRefused(
                SITE_CHECK, f"expected a receipt of site {self.wanted}, got one of site {site}"
            )

    def _of_nobody(self, refusals: dict[str, ReceiptRefused]) -> ReceiptRefused:
        names = ", ".join(s.name for s in self.known) or "none"
        seen = refusals.get(self.wanted)
        why = f"; under {self.wanted}'s keys: {seen}" if seen is not None else ""
        return ReceiptRefused(SITE_CHECK, f"it is of no site that is known here ({names}){why}")
