"""A registered model as a state machine. Only an approved one can be put in force; approval can be
withdrawn and given again.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.errors import Reason, Refused


class ModelState(StrEnum):
    """Where a model stands."""

    REGISTERED = "registered"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


class ModelEvent(StrEnum):
    """What happens to it."""

    APPROVE = "approve"
    WITHDRAW = "withdraw"


_S, _E = ModelState, ModelEvent
TABLE = MappingProxyType(
    {
        (_S.REGISTERED, _E.APPROVE): _S.APPROVED,
        (_S.REGISTERED, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.APPROVED, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.WITHDRAWN, _E.APPROVE): _S.APPROVED,
    }
)


def step(state: ModelState, event: ModelEvent) -> ModelState:
    """The next state. Raises Refused (CONFLICT) where the model stands there already."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise Refused.of(Reason.CONFLICT, f"a model that is not {state}", state) from None
