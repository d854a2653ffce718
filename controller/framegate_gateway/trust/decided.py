"""The demand that what the feed puts in force was logged and cosigned first (N203, N205)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from framegate.access.policy_statement import PolicyStatement
from framegate.errors import Reason, Refused
from framegate.signed.dsse import parse_envelope
from framegate.signed.pin import ModelPin, parse_pin
from framegate.transparency.cosignature import Quorum
from framegate.transparency.decision import Kind, Named
from framegate.wire import sha256
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import GatewayKeys
from framegate_host.cosigned_log import HINT, CosignedLog, model_named
from framegate_proto.decisions import fetch_decisions
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)


class DecidedView:
    """Holds back a policy and a model pin until they are proved; those before them stay in force.

    `log` is what is known of the log, `root` gives the fleet's root. Times are the fleet's, in ms.
    """

    def __init__(self, log: CosignedLog, root: Callable[[], x509.Certificate | None]) -> None:
        self.log, self._root = log, root
        self._latest: pb.AccessUpdate | None = None
        self._policy, self._pin = b"", b""
        self._waits = ""

    @property
    def waiting(self) -> str:
        """What is held back, in words; empty where nothing is."""
        return self._waits

    @property
    def standing(self) -> str:
        """How it stands, for people."""
        if self._waits:
            return f"held back until witnesses saw it: {self._waits}"
        seen = self.log.seen
        return f"{seen.size} decisions, cosigned" if seen is not None else "no head yet"

    def admit(self, access: pb.AccessUpdate) -> bool:
        """Put the last proved policy and pin in place of those in `access` that are not proved;
        whether both are there. What is held back is remembered, and asked for.
        """
        self._latest = pb.AccessUpdate()
        self._latest.CopyFrom(access)
        unproved = []
        if access.policy and self.log.want(_policy_named(access.policy)):
            self._policy = access.policy
        elif access.policy:
            unproved.append("the access policy")
        if access.model_pin and self.log.want(*_pin_named(access.model_pin)):
            self._pin = access.model_pin
        else:
            unproved.append("the model pin")
        waits = " and ".join(unproved)
        if waits and waits != self._waits:
            log.warning("held back until witnesses saw it: %s", waits)
        self._waits = waits
        access.policy, access.model_pin = self._policy, self._pin
        return bool(self._policy and self._pin)

    def again(self) -> pb.AccessUpdate | None:
        """What was held back, once more; None where nothing is."""
        return self._latest if self._waits else None

    def require(self, now_ms: int) -> None:
        """That there are a proved policy and a proved pin, under a head that is young enough.

        Raises Refused (NOT_COSIGNED, LOG_FORKED).
        """
        self.log.require_young(now_ms)
        if not (self._policy and self._pin):
            latest = self._latest or pb.AccessUpdate()
            if latest.policy:
                self.log.require("the access policy", now_ms, _policy_named(latest.policy))
            if latest.model_pin:
                self.log.require("the model pin", now_ms, *_pin_named(latest.model_pin))
            wanted = "a model pin of this zone in the log"
            # only what is registered can be pinned
            hint = "framegate model list; then framegate model promote DIGEST ZONE"
            raise Refused.of(Reason.NOT_COSIGNED, wanted, "none heard", hint)

    def require_profile(self, device: str, digest: str, now_ms: int) -> None:
        """That the profile by which a device was appraised is logged. Raises Refused."""
        self.log.require(f"the profile of {device}", now_ms, Named(Kind.PROFILE, digest))

    async def ask(self, keys: GatewayKeys, now_ms: int) -> bool:
        """Ask the controller where that is due; whether something is proved that was not."""
        root = self._root()
        if root is None or keys.credentials is None or not self.log.due(now_ms):
            return False
        async with fleet_stub(keys, keys.credentials) as stub:
            answer = await fetch_decisions(stub, self.log.seen, self.log.wanted)
        if answer is None:
            wanted = f"a head with {self.log.quorum.least} cosignatures"
            raise Refused.of(Reason.NOT_COSIGNED, wanted, "none published", HINT)
        return self.log.take(answer, root, now_ms)


def decided_view(
    state: Path,
    quorum: Quorum | None,
    root: Callable[[], x509.Certificate | None],
) -> DecidedView | None:
    """The view over `state`, None where nothing is demanded. Raises Malformed."""
    if quorum is None:
        return None
    return DecidedView(CosignedLog(state / "decisions-head", quorum), root)


def _policy_named(envelope: bytes) -> Named:
    payload = parse_envelope(envelope, PolicyStatement.TYPE).payload
    return Named(Kind.POLICY, sha256(payload).hex())


def _pin_named(envelope: bytes) -> tuple[Named, ...]:
    """The pin itself, and the approval of its model. Raises Malformed."""
    payload = parse_envelope(envelope, ModelPin.TYPE).payload
    pin = Named(Kind.PIN, sha256(payload).hex())
    return pin, model_named(parse_pin(envelope).model_sha256)
