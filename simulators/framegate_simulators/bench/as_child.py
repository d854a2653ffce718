"""What computes as the inference child does: in a process whose numerical libraries start no
threads of their own. Those would wait on a processor that the child's have to themselves.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from framegate_host.confinement import QUIET


def as_child(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measure`, a function of a module, returns in a process of its own."""
    before = dict(os.environ)
    os.environ.update(QUIET)  # libraries read it as they are imported
    try:
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawned) as process:
            return process.submit(measure).result()
    finally:
        os.environ.clear()
        os.environ.update(before)
