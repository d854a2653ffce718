"""How often a program that serves looks for cycles in its memory (gc)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NEW_OBJECTS: Final = 10_000
"""More of them than went since the last look make the next one, the interpreter's own 700: what a
few calls under way hold is looked through again and again, taken for old, and then everything old
with it. A look at so many takes some ten milliseconds, at all that a controller of five thousand
machines has a hundred, in which nobody is answered; and cycles, of which there are few, stand for
some seconds, in a few megabytes.
"""


@contextmanager
def looked_for_rarely() -> Iterator[None]:
    """Within this."""
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
