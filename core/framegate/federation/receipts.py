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
        2. that site is trusted now: what a site made before it was withdrawn counts no more either;
        3. it is the wanted one, where one is.

        Raises ReceiptRefused (`site`, which names the site; else as `verify_receipt`),
        ReceiptPending.
        """
        trusted = [s for s in self.known if s.standing is SiteStanding.TRUSTED]
        roots = [pem for site in trusted for pem in site.bundle.pems]
        pending: ReceiptPending | None = None
        refusals: dict[str, ReceiptRefused] = {}
        for site in self.known:
            for root in site.bundle.pems:
                try:
                    verified = verify_receipt(
                        receipt,
                        root,
                        need_camera=self.need_camera,
                        need_log=self.need_log,
                        site_roots=roots,
                    )
                except ReceiptPending as error:
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
