"""What a policy says to a request."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.errors import Failure


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says. `policies` are the ids that decided; `failure` is set exactly where it
    denies.
    """

    allow: bool
    policies: tuple[str, ...]
    failure: Failure | None = None
