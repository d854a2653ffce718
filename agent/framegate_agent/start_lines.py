"""What an agent says of itself when it starts: the first lines that a reader of its log sees."""

from __future__ import annotations

import logging

from framegate_agent import VERSION
from framegate_agent.settings import AgentSettings
from framegate_agent.state import AgentState
from framegate_host.logs import started

log = logging.getLogger(__name__)


def tell_start(settings: AgentSettings, state: AgentState) -> None:
    """Say which machine of which fleet this is, and what it photographs."""
    device = state.device or "a machine that has not joined"
    started.info(
        "framegate-agent %s: %s, %s, of the fleet at %s; attests now",
        VERSION,
        device,
        state.state,
        state.fleet_address,
    )
    for source in settings.source:
        kind = settings.part_type or "as the source names them"
        often = f"{settings.rate:g} a second" if settings.rate else "as fast as they come"
        started.info("camera: %s, part types %s, %s", source, kind, often)
    if not settings.source and settings.gateway_socket is None:
        log.warning("no --source and no --gateway-socket: it proves this machine, and no more")
