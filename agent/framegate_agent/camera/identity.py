"""What a camera's streams need of the agent around them."""

from __future__ import annotations

from typing import Protocol

from framegate.errors import Failure
from framegate_agent.camera.carrier import BrokerWay
from framegate_agent.camera.heads import HeadSpool
from framegate_agent.camera.session import Demands
from framegate_agent.signing import KeyInTpm
from framegate_agent.state import AgentState
from framegate_agent.trusted_clock import TrustedClock


class Identity(Protocol):
    """What a stream needs of the agent around it."""

    state: AgentState
    clock: TrustedClock
    demands: Demands
    masks: bytes
    spool: HeadSpool

    @property
    def key(self) -> KeyInTpm:
        """The TLS key in the TPM."""

    @property
    def broker(self) -> BrokerWay | None:
        """The MQTT broker that carries frames; None: a gRPC stream does."""

    async def fetch_grants(self, nonce: bytes) -> tuple[list[bytes], tuple[Failure, ...]]:
        """Grants that answer `nonce`, or why there are none."""
