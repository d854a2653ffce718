"""One clock for all controllers of a store: the database's, as each of them follows it."""

from __future__ import annotations

from collections.abc import Callable


class SharedClock:
    """This host's clock (ms), moved by how far it was from the database's at the last turn."""

    def __init__(self, here: Callable[[], int]) -> None:
        self._here, self._ahead_ms = here, 0

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return self._here() + self._ahead_ms

    def learn(self, there_ms: int) -> None:
        """The database says that it is `there_ms` now."""
        self._ahead_ms = there_ms - self._here()

    @property
    def ahead_ms(self) -> int:
        """How far the database's clock is ahead of this host's."""
        return self._ahead_ms
