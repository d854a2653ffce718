"""Sign the heads of ended sessions and bring them to the gateways that are owed them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from cryptography import x509

from framegate.errors import FramegateError
from framegate_agent.camera.carrier import Carrier
from framegate_agent.camera.heads import OwedSession, sign_owed
from framegate_agent.camera.identity import Identity
from framegate_agent.camera.opening import OPEN_TIMEOUT_S, carrier_to, refusal
from framegate_agent.camera.session import HeldGrant
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
HEAD_PATIENCE_S: Final = 3.0
"""How long an ended session waits for its last answers before its head is signed; past the overlap
of two secrets. A camera that leaves waits as long for its heads to be taken.
"""


class HeadDelivery:
    """The heads that one stream's agent owes."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._paid = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()

    async def pay(self, carrier: Carrier, host: str) -> int:
        """Sign and send the heads of every ended session that `host` is owed; how many."""
        owed = self._owed_to(host)
        for one in owed:
            await self.pay_one(carrier, one)
        return len(owed)

    async def pay_one(self, carrier: Carrier, owed: OwedSession) -> None:
        """Sign and send one head. A session without frames owes none."""
        if not owed.count:
            self._identity.spool.paid(owed.session)
            return
        try:
            head = await asyncio.to_thread(
                sign_owed, owed, self._identity.key, self._identity.clock.now_ms()
            )
        except FramegateError as error:
            log.warning("frames of a session stay without this camera's signature: %s", error)
            return
        await carrier.write(pb.CameraMessage(head=head))

    def taken(self, session: bytes) -> None:
        """The gateway has the head of this session."""
        self._identity.spool.paid(session)
        self._paid.set()

    async def settle(self, carrier: Carrier, host: str) -> None:
        """Pay what `host` is owed, and wait until it has taken it, for `HEAD_PATIENCE_S`."""
        owed = await self.pay(carrier, host)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_PATIENCE_S if owed else 0):
                while self._owed_to(host):
                    self._paid.clear()
                    await self._paid.wait()

    def run_errands(self, leases: list[HeldGrant], present: HeldGrant) -> None:
        """Bring heads to gateways that this stream has left: their receipts wait for them."""
        owed = {o.host for o in self._identity.spool.owed.values() if not o.live} - {
            present.grant.host
        }
        certificate = self._identity.state.own_certificate
        for lease in leases:
            if lease.grant.host in owed and certificate is not None and not self._errands:
                task = asyncio.create_task(self._errand(lease, certificate))
                self._errands.add(task)
                task.add_done_callback(self._errands.discard)

    async def _errand(self, lease: HeldGrant, certificate: x509.Certificate) -> None:
        try:
            async with (
                carrier_to(lease, self._identity, certificate) as carrier,
                asyncio.timeout(OPEN_TIMEOUT_S),
            ):
                await carrier.read()  # its offer, which nobody answers
                for _ in range(await self.pay(carrier, lease.grant.host)):
                    message = await carrier.read()
                    if message is None or message.WhichOneof("kind") != "head_taken":
                        raise refusal(message)
                    self._identity.spool.paid(message.head_taken.session)
        except (FramegateError, TimeoutError) as error:
            log.info("heads for %s stay here: %s", lease.grant.host, error)

    def _owed_to(self, host: str) -> list[OwedSession]:
        return [o for o in self._identity.spool.owed.values() if o.host == host and not o.live]
