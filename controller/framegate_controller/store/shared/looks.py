"""Which looks were written down of late: a live view asks every second and must not write so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, Protocol

from framegate.registry.zone import KeptDecision

QUIET_MS: Final = 3_600_000
"""Reads of one kind by one session in one zone are one entry an hour."""
COUNT_MS: Final = 60_000
"""A decision that was kept is counted here when it falls again, and written once a minute.

What a process has counted since is lost with it; that the decision fell is not.
"""
MAX_LOOKS: Final = 10_000
"""Looks, and decisions, in memory, some hundred bytes each.

Past it all are forgotten, and written down once more.
"""


@dataclass(frozen=True, slots=True)
class Look:
    """A kind of look: whose session, which verb, in which zone."""

    session: bytes
    verb: str
    zone: str


class QuietLooks(Protocol):
    """Remembers looks and the decisions that allowed them.

    What `due` and `count` give, the caller MUST write, or `forget`.
    """

    def due(self, look: Look, now_ms: int) -> bool:
        """Whether this look is to be noted: then it counts as noted from now on."""

    def count(self, decision: KeptDecision) -> KeptDecision | None:
        """What to keep now that `decision` fell, those counted since in it; None while it waits."""

    def forget(self, look: Look, decision: KeptDecision) -> None:
        """They were not written: the next ones are due."""


@dataclass(frozen=True, slots=True)
class _Counted:
    written_ms: int
    since: int = 0


class InMemoryLooks:
    """Looks at this process."""

    def __init__(self) -> None:
        self._noted: dict[Look, int] = {}
        self._counted: dict[bytes, _Counted] = {}
        self._lock = Lock()

    def due(self, look: Look, now_ms: int) -> bool:
        """See `QuietLooks`."""
        with self._lock:
            if self._noted.get(look, 0) > now_ms - QUIET_MS:
                return False
            if len(self._noted) > MAX_LOOKS:
                self._noted.clear()
            self._noted[look] = now_ms
            return True

    def count(self, decision: KeptDecision) -> KeptDecision | None:
        """See `QuietLooks`."""
        with self._lock:
            counted = self._counted.get(decision.sha256)
            if counted is not None and counted.written_ms > decision.last_ms - COUNT_MS:
                self._counted[decision.sha256] = replace(
                    counted, since=counted.since + decision.count
                )
                return None
            if len(self._counted) > MAX_LOOKS:
                self._counted.clear()
            self._counted[decision.sha256] = _Counted(decision.last_ms)
            return replace(
                decision, count=decision.count + (counted.since if counted is not None else 0)
            )

    def forget(self, look: Look, decision: KeptDecision) -> None:
        """See `QuietLooks`."""
        with self._lock:
            self._noted.pop(look, None)
            self._counted.pop(decision.sha256, None)
