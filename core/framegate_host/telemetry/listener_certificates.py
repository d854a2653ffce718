"""The certificates in a metrics listener's folder: when they end, and who has to do what before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from framegate_host.certificate_end import BroughtCertificate, Life

log = logging.getLogger(__name__)
CERTIFICATES: Final = MappingProxyType(
    {
        "metrics": "the listener for metrics",
        "clients": "the authority whose clients read metrics",
    }
)
"""Files without `.pem`, and whose certificate is in each."""


def listener_certificates(folder: Path) -> dict[str, BroughtCertificate]:
    """By the file's name, as it was when it was loaded: a listener reads its folder once. One whose
    life cannot be read has none here, and the log says so.
    """
    told = {}
    for name, whose in CERTIFICATES.items():
        try:
            life = Life.soonest(folder / f"{name}.pem")
        except (OSError, ValueError) as error:
            log.warning("when %s.pem in %s ends cannot be read: %s", name, folder, error)
            continue
        do = f"bring the next {name}.pem to {folder}, and start this anew"
        told[name] = BroughtCertificate(f"{whose} in {folder}", _always(life), do)
    return told


def _always(life: Life) -> Callable[[], Life]:
    return lambda: life
