"""Challenges that were answered with something that committed nothing: they are not good a second
time either.
"""

from __future__ import annotations

from typing import Final, Protocol

from framegate.evidence.challenge import unknown_session

MAX_SPENT: Final = 50_000
"""Ids in memory, some hundred bytes each, for a minute each; past it the oldest go, whose tokens
are the nearest to their end.
"""


class SpentSessions(Protocol):
    """Remembers challenges that this process has seen an answer to."""

    def taken(self, session: bytes) -> bool:
        """Whether there was an answer."""

    def take(self, session: bytes, expires_ms: int, now_ms: int) -> None:
        """The first answer. Raises Refused (SESSION_UNKNOWN) at the second."""


class InMemorySpentSessions:
    """Ids until their deadline. What commits is remembered by the store too, for every
    controller.
    """

    def __init__(self) -> None:
        self._until: dict[bytes, int] = {}

    def taken(self, session: bytes) -> bool:
        """See `SpentSessions`."""
        return session in self._until

    def take(self, session: bytes, expires_ms: int, now_ms: int) -> None:
        """See `SpentSessions`."""
        while self._until and (
            next(iter(self._until.values())) < now_ms or len(self._until) >= MAX_SPENT
        ):
            self._until.pop(next(iter(self._until)))
        if session in self._until:
            raise unknown_session()
        self._until[session] = expires_ms
