"""What must be served right before and right after every attempt: a target that serves nobody
refuses nobody's attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from framegate_simulators.attack.floor import Floor
from framegate_simulators.attack.target import Target


def _join(t: Target) -> str:
    forge, device, certificate = t.enrol()
    answer = t.attest(forge, certificate, known_log=True)
    state = t.state(device)
    return state if answer.certificate is not None else ", ".join(answer.reasons)


def _attest(t: Target) -> str:
    camera = t.once(Floor).other
    camera.attest()
    return t.state(camera.device)


def _frame(t: Target) -> str:
    return t.once(Floor).inspected()


def _part(t: Target) -> str:
    return t.once(Floor).passes()


SERVED: Final = frozenset({"trusted", "PASS"})
CONTROLS: Final[Mapping[str, Callable[[Target], str]]] = MappingProxyType(
    {"join": _join, "attest": _attest, "frame": _frame, "part": _part}
)
"""By name: a new machine joins and attests; an enrolled one attests; a sound camera's frame is
inspected by the running gateway; a sound part passes the running line, from trigger to diverter.
"""


PATIENCE_S: Final = 30.0
"""What counts everybody together may tell a sound machine to wait some seconds, and it does."""
PAUSE_S: Final = 2.0
WAIT: Final = ("too-many-tries", "wait for a new grant")
"""What tells a sound machine to come again: so many came, or the gateway has just changed keys."""


def control(t: Target, name: str) -> str:
    """Empty where the sound one was served, at an address of its own, else what it got instead."""
    end_s = time.monotonic() + PATIENCE_S
    with t.elsewhere():
        while True:
            said = _served(t, name)
            if not any(w in said for w in WAIT) or time.monotonic() > end_s:
                return said
            time.sleep(PAUSE_S)


def _served(t: Target, name: str) -> str:
    try:
        said = CONTROLS[name](t)
    except Exception as error:  # noqa: BLE001 - whatever it was, the sound one was not served
        said = f"{type(error).__name__}: {error}"[:200]
    return "" if said in SERVED else said
