"""Read a file as what it is to be; where it is something else, say what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from framegate.errors import Malformed, Reason
from framegate_operator.evidence_files import read_file
from framegate_operator.evidence_kinds import UNKNOWN, Kind, likely

_Read = TypeVar("_Read")


def read_as(path: Path, reader: Callable[[bytes], _Read], *kinds: Kind) -> _Read:
    """What `reader` makes of the file, which is to be of one of `kinds`.

    Raises Malformed with the reader's reason: where the file most likely is of another kind, with
    what it is instead of where the reader stumbled.
    """
    raw = read_file(path)
    try:
        return reader(raw)
    except Malformed as error:
        first, other = error.failures[0], stranger(raw, *kinds)
        if first.reason == Reason.TOO_LARGE or (not other and likely(raw).kind in kinds):
            raise
        forms = first.reason == Reason.USAGE  # it says which are read, and how to make one
        wanted = first.expected if forms else " or ".join(k.value for k in kinds)
        what = f"most likely {other}" if other else str(likely(raw))
        hint = first.hint if forms else ""
        raise Malformed.of(first.reason, wanted, f"{path}: {what}", hint) from error


def stranger(raw: bytes, *kinds: Kind) -> str:
    """What `raw` most likely is, if that is known and none of `kinds`; else nothing."""
    guess = likely(raw)
    return "" if guess.kind in kinds or UNKNOWN in guess.told else str(guess)
