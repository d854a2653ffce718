"""Whether a program is alive, and whether it is ready: named checks, each with its problem in
words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from framegate_host.printing import printable

MAX_PROBLEM = 200
"""Characters of a problem: a line on somebody's screen."""


@dataclass(frozen=True, slots=True)
class Health:
    """What each check said at one moment: empty where it holds, else its problem."""

    problems: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return not any(self.problems.values())

    def page(self, *, verbose: bool) -> str:
        """A page for probes: one word, or a line for each check, as Kubernetes' `?verbose`."""
        if not verbose:
            return "ok\n" if self.ready else "not ready\n"
        lines = [
            f"[-]{name} failed: {printable(problem)[:MAX_PROBLEM]}" if problem else f"[+]{name} ok"
            for name, problem in self.problems.items()
        ]
        lines.append("readyz check passed" if self.ready else "readyz check failed")
        return "\n".join(lines) + "\n"


class Checks:
    """Checks of one program by name. Each gives its problem, or nothing. One that raises has
    failed.
    """

    def __init__(self, checks: Iterable[tuple[str, Callable[[], str]]]) -> None:
        self._checks = MappingProxyType(dict(checks))

    def look(self) -> Health:
        """What each says now. Blocks no longer than the checks do."""
        return Health({name: _asked(check) for name, check in self._checks.items()})


def _asked(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that fails is a check that failed
        return f"cannot be told: {type(error).__name__}"
