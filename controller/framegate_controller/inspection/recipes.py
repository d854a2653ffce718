"""What of a model's recipe another model in its place no longer finds, in words for whoever
approves it (N243). What networks find is told by their cards; this is what people wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from framegate.errors import FramegateError
from framegate.signed.dsse import strict_json


@dataclass(frozen=True, slots=True)
class _Told:
    defects: frozenset[str]
    threshold: float
    known: bool


def weakened_recipe(before: bytes, after: bytes) -> tuple[str, ...]:
    """What goes or gives way; that it cannot be told, where either cannot be read."""
    try:
        old, new = _told(before), _told(after)
    except (FramegateError, TypeError, ValueError):
        return ("what its recipe gives up cannot be told",)
    return tuple(_weakened(old, new))


def _told(recipe: bytes) -> _Told:
    """Raises Malformed, TypeError or ValueError for what is no recipe."""
    body = strict_json(recipe)
    if type(body) is not dict:
        raise TypeError("a recipe is an object")
    classes, good = body.get("classes", []), body.get("good", [])
    threshold = float(body.get("threshold", 0.0))
    if not math.isfinite(threshold):
        raise ValueError("a threshold is a number")
    return _Told(frozenset(map(str, classes)) - set(map(str, good)), threshold, "threshold" in body)


def _weakened(old: _Told, new: _Told) -> Iterator[str]:
    if gone := sorted(old.defects - new.defects):
        yield f"no longer looks for {', '.join(gone)}"
    if old.known and not new.known:
        yield f"no threshold, before {old.threshold:g}"
    elif new.threshold > old.threshold:
        yield f"threshold {new.threshold:g}, before {old.threshold:g}"
