"""Revocation lists that somebody put on this host: read each time, so that a newer one in a file's
place counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from framegate.cloud.revocations import MAX_LIST_BYTES, RevocationList, load_revocation_list
from framegate.errors import FramegateError, Malformed, Reason, Unavailable


def read_revocation_lists(paths: Iterable[Path]) -> tuple[RevocationList, ...]:
    """The lists in these files. Raises Malformed (EK_CHAIN, TOO_LARGE), Unavailable where one is
    gone: nobody joins unchecked because a file is missing.
    """
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> RevocationList:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        wanted = f"the revocation list {path}"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, type(error).__name__) from error
    try:
        return load_revocation_list(raw)
    except FramegateError as error:
        failure = error.failures[0]
        wanted = f"{failure.expected} in {path}"
        raise Malformed.of(failure.reason, wanted, failure.actual) from error
