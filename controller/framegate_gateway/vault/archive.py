"""What a gateway keeps of what it inspected."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.errors import Reason, Unavailable
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.vault.frames import FrameVault
from framegate_gateway.verdicts.journal import Journal


@dataclass(frozen=True, slots=True)
class Archive:
    """The latest verdicts and frames in memory, receipts on disk, and frames in the vault; `vault`
    is None where this host has none or it stays shut, and `locked` says why.
    """

    journal: Journal
    receipts: ReceiptStore
    vault: FrameVault | None = None
    locked: str = ""

    def open_vault(self) -> FrameVault:
        """The vault. Raises Unavailable (VAULT) where there is none."""
        if self.vault is None:
            raise self.shut()
        return self.vault

    def shut(self) -> Unavailable:
        """What whoever needs the vault is told where there is none."""
        return Unavailable.of(
            Reason.VAULT,
            "a vault on this gateway's host",
            self.locked or "none",
            "framegate-gateway vault init",
        )
