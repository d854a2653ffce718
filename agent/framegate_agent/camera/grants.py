"""Which granted gateway a stream goes to: grants that hold, those of gateways that failed lately
last.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from framegate.errors import Failure, FramegateError, Reason, Unavailable
from framegate.wire import NONCE_BYTES
from framegate_agent.camera.identity import Identity
from framegate_agent.camera.session import AskedGrant, HeldGrant, hold_grant
from framegate_host.logs import started

SHUNNED_S: Final = 5.0
"""A gateway that failed is tried last for so long."""


class GrantChoice:
    """The grants of one stream. `others` counts gateways to try at once after a failure."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._shunned: dict[str, float] = {}
        self.others = 0
        self._told = ""

    async def fetch(self) -> list[HeldGrant]:
        """Grants that hold, those of gateways that did not fail lately first. Raises Unavailable
        with every reason where there is none.
        """
        identity, nonce, drawn = self._identity, secrets.token_bytes(NONCE_BYTES), time.monotonic()
        envelopes, failures = await identity.fetch_grants(nonce)
        state = identity.state
        asked = AskedGrant(state.device, nonce, drawn, identity.demands)
        problems, leases = list(failures), []
        for envelope in envelopes:
            try:
                leases.append(
                    hold_grant(
                        envelope,
                        asked,
                        state.authority_certificates,
                        state.root_certificate,
                        identity.clock.now_ms(),
                    )
                )
            except FramegateError as error:
                problems += error.failures
        if not leases:
            raise Unavailable(
                problems
                or [
                    Failure(
                        Reason.NO_GRANT, "a grant for a gateway", "none", "framegate gateway list"
                    )
                ]
            )
        return sorted(leases, key=self._failed_at)

    def taken(self, lease: HeldGrant, source: str) -> None:
        """Frames of `source` go to the gateway of `lease`: told once for each gateway in a row."""
        if lease.grant.host != self._told:
            self._told = lease.grant.host
            started.info("frames of %s go to %s, %s", source, self._told, lease.grant.address)

    def failed(self, lease: HeldGrant, leases: list[HeldGrant]) -> None:
        """The gateway of `lease` failed: it is tried last for a while, and the rest of `leases`
        first.
        """
        now = time.monotonic()
        self._shunned[_gateway(lease)] = now
        self.others = sum(self._failed_at(g) < now - SHUNNED_S for g in leases)

    def _failed_at(self, lease: HeldGrant) -> float:
        return self._shunned.get(_gateway(lease), 0.0)


def _gateway(lease: HeldGrant) -> str:
    return lease.grant.host + lease.grant.address
