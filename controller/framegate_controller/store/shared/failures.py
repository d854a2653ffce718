"""Failures of people who have not shown who they are, folded: they must not fill the record."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

FOLD_MS: Final = 60_000
MAX_FOLDED: Final = 64
"""Kinds of failure that are told apart at once: what fails, whose name, from which network."""
OTHERS: Final = "others"
"""The network of every kind past those."""


@dataclass(frozen=True, slots=True)
class FailureKind:
    """`what` failed, of `whom` (an operator, or nobody that is known), from `prefix`."""

    what: str
    whom: str
    prefix: str


@dataclass(frozen=True, slots=True)
class CountedFailure:
    """As many more of a kind as `count`."""

    kind: FailureKind
    count: int


class FailureFold(Protocol):
    """Folds failures of one kind: one entry at once, and then at most one a minute."""

    def add(self, kind: FailureKind, now_ms: int) -> bool:
        """One failure. True where the caller MUST record it now; else it is counted."""

    def due(self, now_ms: int) -> list[CountedFailure]:
        """What was counted a minute ago or earlier, which the caller MUST record."""


@dataclass
class _Fold:
    since_ms: int
    count: int


class InMemoryFailures:
    """Failures at this process; what it has counted is lost with it, up to a minute's."""

    def __init__(self, most: int = MAX_FOLDED) -> None:
        self._most, self._lock = most, Lock()
        self._folds: OrderedDict[FailureKind, _Fold] = OrderedDict()

    def add(self, kind: FailureKind, now_ms: int) -> bool:
        """See `FailureFold`."""
        with self._lock:
            fold = self._folds.get(kind)
            if fold is None and len(self._folds) < self._most:
                self._folds[kind] = _Fold(now_ms, 0)
                return True
            if fold is None:
                others = FailureKind(kind.what, "", OTHERS)
                fold = self._folds.setdefault(others, _Fold(now_ms, 0))
            fold.count += 1
            return False

    def due(self, now_ms: int) -> list[CountedFailure]:
        """See `FailureFold`."""
        counted = []
        with self._lock:
            for kind, fold in list(self._folds.items()):
                if fold.since_ms > now_ms - FOLD_MS:
                    continue
                if fold.count:
                    counted.append(CountedFailure(kind, fold.count))
                    self._folds[kind] = _Fold(now_ms, 0)
                else:
                    del self._folds[kind]
        return counted
