"""How often one address may try to sign in here.

The controller counts tries by operator and by address, and all of ours come from this one machine:
somebody who guesses through the console would lock out everybody who signs in through it. So they
are counted here first, by the browser's own address.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from framegate.errors import Reason, Refused
from framegate_host.prefixes import prefix_of

TRIES: Final = 10
"""Of one address, in `WINDOW_S`; the controller lets this console's address try thrice as often."""
TRIES_AT_ONE: Final = 3
"""Of one address at one name: the controller takes five from here, so that whoever guesses at a
name from one place leaves its owner a try.
"""
WINDOW_S: Final = 300.0
COUNTED: Final = 4096
"""Counters kept at once; the longest quiet are forgotten, which gives a botnet nothing it lacks."""


class Tries:
    """Tries of the last `WINDOW_S`, by network, and by network and name."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def begin(self, address: str, name: str, now_s: float) -> None:
        """Count a try at `name`, which may be empty. Raises Refused (LOCKED) where none is left;
        a try that is refused is not counted.
        """
        network = prefix_of(address)
        rules = [((network, ""), TRIES), *([((network, name), TRIES_AT_ONE)] if name else [])]
        counters = [(self._counter(key, now_s), most) for key, most in rules]
        for seen, most in counters:
            if len(seen) >= most:
                left = max(1, round(WINDOW_S - (now_s - seen[0])))
                wanted = f"at most {most} tries in {WINDOW_S:g} s"
                raise Refused.of(Reason.LOCKED, wanted, "more", f"wait {left} s")
        for seen, _ in counters:
            seen.append(now_s)

    def good(self, address: str, name: str) -> None:
        """It became a session: its tries count no more."""
        for key in ((prefix_of(address), ""), (prefix_of(address), name)):
            self._seen.pop(key, None)

    def _counter(self, key: tuple[str, str], now_s: float) -> deque[float]:
        seen = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while seen and now_s - seen[0] > WINDOW_S:
            seen.popleft()
        while len(self._seen) > COUNTED:
            self._seen.popitem(last=False)
        return seen
