"""The connection to the controller's fleet port, under this machine's certificate and TLS key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import grpc

from framegate_agent.channel import with_tpm_key
from framegate_agent.state import AgentState, NotCertified
from framegate_agent.tpm.chip import Tpm
from framegate_agent.trusted_clock import TrustedClock

log = logging.getLogger(__name__)
CLOSE_GRACE_S: Final = 1.0
CLOSE_MOST_S: Final = 3.0
"""Far more than a channel takes; an agent that waits for one proves nothing meanwhile."""


class FleetConnection:
    """One channel to the fleet port. `state` says which certificate and address are the present
    ones.
    """

    def __init__(self, tpm: Tpm, clock: TrustedClock, state: Callable[[], AgentState]) -> None:
        self._tpm, self._clock, self._state = tpm, clock, state
        self._channel: grpc.aio.Channel | None = None
        self._channel_expires_s = 0.0

    def certificate_life_s(self) -> float:
        """How long the certificate still lives; 0 where there is none for this boot's key."""
        certificate = self._state().own_certificate
        if certificate is None:
            return 0.0
        key = certificate.public_key()
        if key != self._tpm.last_tls_key.key():
            return 0.0  # another boot's key, or another machine's disk
        return certificate.not_valid_after_utc.timestamp() - self._clock.now_s()

    async def channel(self) -> grpc.aio.Channel:
        """The fleet port's channel; made anew where its certificate has ended and the connection is
        gone too. Raises Unavailable without a certificate.
        """
        if self._channel is not None:
            alive = self._channel_expires_s > self._clock.now_s() + 1
            if alive or self._channel.get_state() == grpc.ChannelConnectivity.READY:
                return self._channel
        state = self._state()
        certificate = state.own_certificate
        if certificate is None or self.certificate_life_s() <= 0:
            raise NotCertified.yet()
        await self.drop()
        state = self._state()
        self._channel = with_tpm_key(
            state.fleet_address,
            state.server_name,
            [state.root_certificate],
            self._tpm,
            (certificate, *state.authority_certificates),
            self._clock.now_s,
        )
        self._channel_expires_s = certificate.not_valid_after_utc.timestamp()
        return self._channel

    async def drop(self) -> None:
        """Close the channel; the next call makes another. One that does not close is left behind:
        gRPC waits for a handshake whose signature is with the TPM, for as long as the peer is
        silent.
        """
        if self._channel is not None:
            channel, self._channel = self._channel, None
            try:
                await asyncio.wait_for(channel.close(grace=CLOSE_GRACE_S), CLOSE_MOST_S)
            except TimeoutError:
                log.warning("a connection to %s does not close: left", self._state().fleet_address)
