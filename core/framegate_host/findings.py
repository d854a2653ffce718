"""Findings for people: of each kind the first, and how many more there are of it.

A machine of a model that the fleet does not know differs in every event, and all of them say one
thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framegate.errors import Failure, Reason
from framegate_host.console import Terminal, show_failures, talk

KINDS_SHOWN: Final = 8
"""Kinds of findings that a person reads."""


def show_kinds(failures: Sequence[Failure], console: Terminal = talk) -> int:
    """Show the first finding of each kind, and how many more of it there are; returns how many
    findings were left out.
    """
    kinds: dict[Reason, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(failure.reason, []).append(failure)
    shown = list(kinds.values())[:KINDS_SHOWN]
    for alike in shown:
        show_failures(alike[:1], console)
        if len(alike) > 1:
            console.print(f"  and       {len(alike) - 1} more of this kind")
    return len(failures) - len(shown)
