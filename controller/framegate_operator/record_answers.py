"""Entries of the record as a controller hands them over to who asks without a proof: what is none
is a refusal, and no error of ours in an operator's terminal (N239).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from framegate.codec import MOST_WHOLE
from framegate_operator.answers import json_object, reading

ENTRY: Final = "an entry of the record"
LOOK: Final = "framegate audit verify of an export says whether the record holds"
_TEXTS: Final = ("kind", "event", "actor", "device", "to", "verb")
_LISTS: Final = ("approved_by", "policies")


class Row(Protocol):
    """Where an entry comes in."""

    entry: bytes


def entry_of(raw: bytes) -> dict[str, Any]:
    """An entry.

    1. a JSON object, no member twice; 2. its index and time are whole numbers that a record holds;
    3. what is text in every entry is text, a list of texts is one, and members are an object.
    Raises Malformed.
    """
    entry = json_object(raw, ENTRY, LOOK)  # 1
    with reading(ENTRY, LOOK):
        whole = (entry["index"], entry["at_ms"])
        if not all(type(n) is int and 0 <= n <= MOST_WHOLE for n in whole):  # 2
            raise ValueError("no index or time")
        if type(entry["kind"]) is not str or not _is_of_form(entry):  # 3
            raise TypeError("members of another form")
    return entry


def _is_of_form(entry: dict[str, Any]) -> bool:
    texts = (entry[name] for name in _TEXTS if name in entry)
    lists = (entry[name] for name in _LISTS if name in entry)
    return (
        all(type(text) is str for text in texts)
        and all(type(of) is list and all(type(text) is str for text in of) for of in lists)
        and type(entry.get("members", {})) is dict
    )


def entries_of(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Each row's entry. Raises Malformed."""
    return (entry_of(row.entry) for row in rows)


@contextlib.contextmanager
def working_out() -> Iterator[None]:
    """Work something out of entries inside. Raises Malformed where what one says of its own kind is
    not what such entries say.
    """
    with reading("entries of the record that say what such entries do", LOOK):
        yield
