"""Importing what a program is made of. Standard library alone, as `programs`."""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType


def import_to_stay(name: str) -> ModuleType:
    """The module `name`, imported with the garbage collector at rest.

    An import makes some hundred thousand objects, and nearly all of them stay: looking through
    them again and again is a tenth of a start. They are left out of later collections, too.
    """
    if not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
