"""A certificate that a person brings to where it is used: whoever uses it says when it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

log = logging.getLogger(__name__)
AGAIN: Final = timedelta(days=1)
"""Once a day is often enough to be read, and seldom enough to stay."""


@dataclass(frozen=True, slots=True)
class BroughtCertificate:
    """Whose it is in words, when it ends (asked anew each time), how long before that it is told,
    and what to do then.
    """

    name: str
    ends: Callable[[], datetime]
    soon: timedelta
    do: str

    def said(self, now: datetime) -> str:
        """What there is to say of its end; empty where that is far."""
        ends = self.ends()
        if ends - now >= self.soon:
            return ""
        left = "has ended" if ends <= now else f"ends in {(ends - now).days} days"
        return f"the certificate of {self.name} {left}, {ends:%F %H:%M} UTC: {self.do}"


async def tell_end(certificate: BroughtCertificate) -> None:
    """Forever: say in the log that it ends, at once and then once a day."""
    while True:
        if said := certificate.said(datetime.now(UTC)):
            log.warning("%s", said)
        await asyncio.sleep(AGAIN.total_seconds())
