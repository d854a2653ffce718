"""What joining says of a machine that does not satisfy its profile: each kind of finding once.

A model that the fleet does not know differs in every event, and all of them say one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framegate.errors import Failure, Reason
from framegate.identity.names import split_device_id
from framegate_host.console import show_failures, talk

SHOWN: Final = 8
"""Kinds of findings that a person reads."""


def tell_findings(device: str, failures: Sequence[Failure]) -> None:
    """The first of each kind, how many more there are of it, and where all of them stand."""
    kinds: dict[Reason, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(failure.reason, []).append(failure)
    for alike in list(kinds.values())[:SHOWN]:
        show_failures(alike[:1])
        if len(alike) > 1:
            talk.print(f"  and       {len(alike) - 1} more of this kind")
    if len(failures) > min(len(kinds), SHOWN):
        kind, _, name = split_device_id(device)
        talk.print(
            f"all {len(failures)}: framegate {kind} why {name}; a model that is new to the fleet: "
            f"framegate {kind} adopt {name} --key SIGNER"
        )
