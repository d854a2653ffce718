"""Duties that one controller of several has at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """That `owner` has a duty; the token is another at every change of hands, 0 where there is only
    one controller.
    """

    duty: str
    owner: str = ""
    token: int = 0


class Leases(Protocol):
    """Who has which duty, as a transaction sees it."""

    def require(self, lease: Lease) -> None:
        """That the duty did not change hands. Raises Moved: whoever was away for too long writes
        nothing in its name.
        """
