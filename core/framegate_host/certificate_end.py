"""A certificate that a person brings to where it is used: whoever uses it says when it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

log = logging.getLogger(__name__)
AGAIN: Final = timedelta(days=1)
"""Once a day is often enough to be read, and seldom enough to stay."""
AHEAD: Final = timedelta(days=30)
"""A maintenance window, an order and a second person fit."""
SHARE: Final = 3
"""One that lives for less than ninety days is told in the last third of its life: a warning that
always stands there is read by nobody.
"""


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate counts."""

    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Life:
        """What stands in it."""
        return cls(certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    @classmethod
    def soonest(cls, file: Path) -> Life:
        """Of the certificate in the PEM `file` that ends first. Raises OSError, ValueError."""
        lives = map(cls.of, x509.load_pem_x509_certificates(file.read_bytes()))
        return min(lives, key=lambda life: life.ends)

    @property
    def soon(self) -> timedelta:
        """How long before its end it is told."""
        return min(AHEAD, (self.ends - self.begins) / SHARE)


@dataclass(frozen=True, slots=True)
class BroughtCertificate:
    """Whose it is in words, its life (asked anew each time), and what to do before it ends."""

    name: str
    life: Callable[[], Life]
    do: str

    def said(self, now: datetime) -> str:
        """What there is to say of its end; empty where that is far."""
        life = self.life()
        if life.ends - now >= life.soon:
            return ""
        left = "has ended" if life.ends <= now else f"ends in {(life.ends - now).days} days"
        return f"the certificate of {self.name} {left}, {life.ends:%F %H:%M} UTC: {self.do}"


def renewal(server_name: str, to: str = "the broker") -> str:
    """What gives a server of the fleet, a broker most often, its next certificate."""
    own, _, _ = server_name.partition(".")
    return (
        f"framegate-controller server-certificate {own} --out FOLDER; carry it to {to},"
        " restart that"
    )


async def tell_end(certificate: BroughtCertificate) -> None:
    """Forever: say in the log that it ends, at once and then once a day."""
    while True:
        if said := certificate.said(datetime.now(UTC)):
            log.warning("%s", said)
        await asyncio.sleep(AGAIN.total_seconds())
