"""The trust feed as the gateway sees it: who is trusted now. Silence, a lost connection or a
controller that is older than what was seen of it close the gate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Failure, FramegateError, Reason, Refused
from framegate.record.following import RESTORE
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.decided import DecidedView
from framegate_gateway.trust.fleet_channel import fleet_stub
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.trust.log_view import LogView
from framegate_host.private_files import NoRoom, keep_private
from framegate_host.repeated import Repeated, more_of
from framegate_proto.trust_feed import SILENCE_S, read_trust_feed
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
RETRY_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Standing:
    """A device's trust: until when (monotonic seconds) its result stands, the SHA-256 of its TLS
    key, and a camera's masks in force, as the controller signed them.
    """

    state: str
    result_id: str
    ends_at_s: float
    spki_sha256: bytes
    evidence_sha256: str = ""
    firmware_profile: str = ""
    firmware_profile_sha256: str = ""
    facts: str = ""
    masks: bytes = b""


class TrustView:
    """Trust of a zone, out of the feed. `monotonic` is the clock; `revision_file` keeps the highest
    revision over restarts (N115).

    `access` is people and policy of the same feed; `close` closes the gate at once when the
    controller is silent, whatever the zone's rule; `inspection` takes in the model pin and the
    parts of each message, or raises; `log` holds the controller's record against what was seen of
    it (N148); `decided`, once somebody set it, holds back what witnesses have not cosigned
    (N205).
    """

    def __init__(
        self,
        revision_file: Path | None,
        access: AccessView,
        *,
        close: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        authorities: Callable[[Sequence[bytes]], None] | None = None,
        inspection: Callable[[pb.TrustUpdate], None] | None = None,
        log: LogView | None = None,
    ) -> None:
        self._file, self.access, self._close, self._monotonic, self._authorities = (
            revision_file,
            access,
            close,
            monotonic,
            authorities,
        )
        self._inspection, self._log = inspection, log
        self.decided: DecidedView | None = None
        self._behind: Refused | None = None
        self._devices: dict[str, Standing] = {}
        self._heard_at_s = float("-inf")
        self._snapshot, self._lack = False, ""
        self.clock_offset_ms = 0
        self.revision = 0
        if revision_file is not None and revision_file.exists():
            self.revision = int(revision_file.read_text() or "0")

    def apply(self, update: pb.TrustUpdate) -> None:
        """Take in one message. The first after `disconnected` must be a snapshot; the revision
        never falls, and the record goes on. Raises Refused (TRUST_FEED, CONTROLLER_BEHIND).
        """
        self._require_ahead(update)
        if not self._snapshot and not update.snapshot:
            raise Refused.of(Reason.TRUST_FEED, "a snapshot first", "a change")
        if update.snapshot and not update.HasField("access"):
            raise Refused.of(Reason.TRUST_FEED, "a snapshot with people and policy", "one without")
        self._take_in(update)
        if update.snapshot:
            self._devices.clear()
            self._snapshot = True
        now = self._monotonic()
        for d in update.devices:
            self._devices[d.device] = Standing(
                d.state,
                d.result_id,
                now + d.remaining_ms / 1000,
                d.spki_sha256,
                d.evidence_sha256.hex(),
                d.firmware_profile,
                d.firmware_profile_sha256.hex(),
                d.facts,
                d.masks,
            )
        self._heard_at_s = now
        if update.now_ms:
            self.clock_offset_ms = update.now_ms - time.time_ns() // 1_000_000
        if update.revision > self.revision:
            self.revision = update.revision
            self._keep()

    def proved(self) -> None:
        """Something is proved that was not: what was held back is taken in, if it is that. Raises
        as `apply`.
        """
        access = self.decided.again() if self.decided is not None else None
        if access is not None and self._snapshot:
            self._take_in(pb.TrustUpdate(access=access))

    def _take_in(self, update: pb.TrustUpdate) -> None:
        try:
            if update.HasField("access"):
                if self.decided is not None and not self.decided.admit(update.access):
                    update.ClearField("access")  # shut until it is proved: `require` says why
                else:
                    self.access.apply(update.access)
            if self._inspection is not None:
                self._inspection(update)
        except FramegateError:
            self.disconnected()
            raise
        if self._authorities is not None and update.access.authorities:
            self._authorities(list(update.access.authorities))

    def _require_ahead(self, update: pb.TrustUpdate) -> None:
        """That the controller is not older than what was seen of it: else the gate is closed, grace
        or not, until a snapshot of one that is not.
        """
        try:
            if self._log is not None:
                self._log.follow(update)
            if update.revision < self.revision:
                wanted, came = f"trust of revision {self.revision} or later", update.revision
                raise Refused.of(
                    Reason.CONTROLLER_BEHIND,
                    wanted,
                    f"{came}: this controller is older than what was seen of it",
                    RESTORE,
                )
        except FramegateError as error:
            self.disconnected()
            if error.reason == Reason.CONTROLLER_BEHIND:
                self._behind = Refused(error.failures)
            raise
        if update.snapshot:
            self._behind = None

    @property
    def seen_log(self) -> pb.SeenLog:
        """Where the controller's record was seen last."""
        return self._log.seen if self._log is not None else pb.SeenLog()

    @property
    def behind(self) -> tuple[Failure, ...]:
        """Why the controller is refused as older than what was seen; empty where it is not."""
        return self._behind.failures if self._behind is not None else ()

    def disconnected(self, lack: str = "") -> None:
        """The stream ended: until a new snapshot nothing new is learnt. `lack` is what this host
        itself lacks to take it in.
        """
        self._snapshot, self._lack = False, lack

    @property
    def silence(self) -> Failure:
        """Why the gate is shut, where nothing else is wrong than that the feed is not heard."""
        wanted, seen = f"a trust feed heard within {SILENCE_S:g} s", "silence"
        hint = "the gate opens when the controller is back"
        if self._lack:
            seen, hint = f"silence, for {self._lack}", "see to the gateway's host"
        return Failure(Reason.TRUST_FEED, wanted, seen, hint)

    @property
    def open(self) -> bool:
        """Whether the gate may admit anyone: the feed was heard within `SILENCE_S`, or the zone's
        rule is `grace` (results still run out); never while the controller is behind.
        """
        if self._behind is not None or self.undecided:
            return False
        heard = self._monotonic() - self._heard_at_s <= SILENCE_S
        return heard or (self.access.grace and not self._close and self._heard_at_s > float("-inf"))

    @property
    def undecided(self) -> tuple[Failure, ...]:
        """Why nothing is trusted although the feed is heard: what it says is not in the log of
        decisions as this gateway demands. Empty where that is not so.
        """
        try:
            if self.decided is not None:
                self.decided.require(self.now_ms())
        except FramegateError as error:
            return error.failures
        return ()

    @property
    def decisions(self) -> str:
        """How it stands with the log of decisions, in words; empty where nothing is demanded."""
        return self.decided.standing if self.decided is not None else ""

    def knows(self, device: str) -> bool:
        """Whether the feed speaks of `device`, whatever its standing."""
        return device in self._devices

    def require(self, device: str, spki_sha256: bytes | None = None) -> Standing:
        """The standing of a device that is trusted now, by its present key where `spki_sha256` is
        given. Raises Refused.
        """
        if self._behind is not None:
            raise Refused(self._behind.failures)
        if self.decided is not None:
            self.decided.require(self.now_ms())
        if not self.open:
            raise Refused([self.silence])
        standing = self._devices.get(device)
        if standing is None:
            raise Refused.of(Reason.DEVICE_UNKNOWN, "a device of this zone", device)
        if standing.state != "trusted":
            reason = {
                "quarantined": Reason.QUARANTINED,
                "suspect": Reason.SUSPECT,
                "stale": Reason.STALE,
            }.get(standing.state, Reason.NOT_TRUSTED)
            raise Refused.of(reason, "a trusted device", standing.state)
        if standing.ends_at_s <= self._monotonic():
            raise Refused.of(Reason.STALE, "a result in force", "one that ran out")
        if self.decided is not None:
            self.decided.require_profile(device, standing.firmware_profile_sha256, self.now_ms())
        if spki_sha256 is not None and standing.spki_sha256 != spki_sha256:
            raise Refused.of(Reason.CERTIFICATE, "the device's present key", "an earlier one")
        return standing

    def now_ms(self) -> int:
        """Milliseconds since the epoch by the controller's clock: a gateway's own clock may be
        wrong (N73).
        """
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def _keep(self) -> None:
        if self._file is not None:
            keep_private(self._file, str(self.revision).encode(), durable=False)


async def follow_feed(view: TrustView, keys: GatewayKeys) -> None:
    """Keep the feed connected forever, with this process's own certificate; a new connection for
    every new one that is needed.
    """
    said = Repeated()
    while True:
        credentials, lack = keys.credentials, ""
        if credentials is None:
            await asyncio.sleep(RETRY_S)
            continue
        try:
            async with fleet_stub(keys, credentials) as stub:
                await read_trust_feed(stub, view)
        except TimeoutError:
            _tell(said, "silence", logging.WARNING)
        except FramegateError as error:
            if error.reason == Reason.CERTIFICATE_EXPIRED:
                _tell_expired(renewed=keys.credentials is not credentials)
            else:
                lack = "its disk has no room" if isinstance(error, NoRoom) else ""
                routine = error.reason == Reason.UNAVAILABLE and not lack
                _tell(said, str(error), logging.WARNING if routine else logging.ERROR)
        view.disconnected(lack)
        await asyncio.sleep(RETRY_S)


def _tell(said: Repeated, what: str, level: int) -> None:
    """It is tried three times a second, and told where it is news."""
    left_out = said.left_out(what)
    if left_out is not None:
        log.log(level, "trust feed: %s%s", what, more_of(left_out))


def _tell_expired(*, renewed: bool) -> None:
    """A feed outlives the certificate that it was opened under: what follows from that here."""
    if renewed:
        log.debug("trust feed: its certificate ran out, as each does; opened again with the next")
    else:
        log.info(
            "trust feed: the certificate ran out and there is no new one yet: the agent on this "
            "host attests anew, and its framegate-agent status says where that fails"
        )
