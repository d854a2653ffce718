"""Faults that are no Exception: a library of Rust that panics, over bytes of somebody's as a rule,
raises what `except Exception` lets pass, so that whoever does so for all ends of it.
"""

from __future__ import annotations

import asyncio
from typing import Final

ENDS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
"""What ends a task or a program, and goes on as it is."""


def is_panic(error: BaseException) -> bool:
    """Whether `error` is such a fault: no Exception, and nothing that ends a task or a program."""
    return not isinstance(error, (Exception, *ENDS))
