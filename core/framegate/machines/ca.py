"""Generations of an issuing CA as a state machine: one is made, signs, stops signing, is forgotten.
None comes back.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.machines.table import move


class GenerationState(StrEnum):
    """Where a generation stands."""

    COMING = "coming"  # certified and told to machines; signs nothing
    PRESENT = "present"  # signs
    GONE = "gone"  # signs nothing; what it signed may still live
    FORGOTTEN = "forgotten"  # nothing it signed can be alive


class GenerationEvent(StrEnum):
    """What happens to it."""

    KNOWN = "known"  # every trusted machine has attested since it was made
    SUCCEEDED = "succeeded"  # the next one signs
    OUTLIVED = "outlived"  # the longest life of what it signed is over


_S, _E = GenerationState, GenerationEvent
TABLE = MappingProxyType(
    {
        (_S.COMING, _E.KNOWN): _S.PRESENT,
        (_S.PRESENT, _E.SUCCEEDED): _S.GONE,
        (_S.GONE, _E.OUTLIVED): _S.FORGOTTEN,
    }
)


def step(state: GenerationState, event: GenerationEvent) -> GenerationState:
    """The next state. Raises Refused (TRANSITION)."""
    return move(TABLE, state, event, "a CA's generation")
