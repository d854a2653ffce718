"""Who listens, for whoever only wants to know how many."""

from __future__ import annotations

from typing import Protocol

from framegate_controller.events.bus import Listening


class Audience(Protocol):
    """What of a bus a verb may ask."""

    @property
    def listening(self) -> Listening:
        """How many machines watch and how many gateways follow the feed, at this controller now."""
