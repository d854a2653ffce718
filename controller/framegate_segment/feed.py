"""The trust feed as an enforcer sees it. Silence renews nothing; a controller that is older than
what was seen of it is believed nothing, and everything closes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.access.policy import PolicySet, verify_policy
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.record.following import RESTORE
from framegate.record.verify import LogAnchor
from framegate_host.private_files import keep_private
from framegate_host.seen_log import SeenLog
from framegate_proto.edge import from_log_position, to_seen_log
from framegate_proto.fleet_channel import fleet_channel
from framegate_proto.trust_feed import SILENCE_S, read_trust_feed
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_segment.credentials import EnforcerCredentials
from framegate_segment.enforcement.enforcer import Enforcer, Standing

log = logging.getLogger(__name__)
RETRY_S: Final = 0.3
BEHIND: Final = "the controller is older than what was seen of it"


@dataclass(frozen=True, slots=True)
class FeedFiles:
    """What is kept over restarts, in one folder."""

    folder: Path

    @property
    def revision(self) -> Path:
        """The highest revision that was seen."""
        return self.folder / "revision"

    @property
    def policy(self) -> Path:
        """The last policy, as it was signed."""
        return self.folder / "policy.dsse"

    @property
    def log(self) -> Path:
        """The last head of the record."""
        return self.folder / "log-head"


class FeedView:
    """Takes messages of the feed in and has `enforcer` do what they mean."""

    def __init__(
        self,
        credentials: EnforcerCredentials,
        files: FeedFiles,
        enforcer: Enforcer,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises Malformed where a file of an earlier run is damaged."""
        self._own, self._files, self._enforcer = credentials, files, enforcer
        self._monotonic = monotonic
        self._log = SeenLog(files.log)
        self._snapshot = False
        self._heard_at_s = float("-inf")
        self.policy: PolicySet | None = None
        self.revision = _number(files.revision)

    @property
    def seen_log(self) -> pb.SeenLog:
        """What the controller has to go on from."""
        return to_seen_log(self._log.head)

    @property
    def heard(self) -> bool:
        """Whether the controller spoke within `SILENCE_S`: only then is anything renewed."""
        return self._snapshot and self._monotonic() - self._heard_at_s <= SILENCE_S

    def restore(self) -> bool:
        """Enforce the policy that was kept, before anybody is asked; False where none was. A
        damaged one, or one that this fleet did not sign, raises Malformed or Refused.
        """
        if not self._files.policy.exists():
            return False
        self._take_policy(self._files.policy.read_bytes(), kept=True)
        return self._enforcer.segment is not None

    def apply(self, update: pb.TrustUpdate) -> None:
        """Take in one message.

        1. the record goes on from where it was seen (`SeenLog`), and the revision never falls;
        2. the first message of a connection is a snapshot; 3. a policy is signed by this fleet, and
        its version never falls; 4. devices are of this zone. Then trust is as it says, cuts first.
        Raises Refused (CONTROLLER_BEHIND, TRUST_FEED, …), after which nothing is renewed; a
        controller that is behind closes everything.
        """
        try:
            self._require_ahead(update)  # 1
            if not self._snapshot and not update.snapshot:  # 2
                raise Refused.of(Reason.TRUST_FEED, "a snapshot first", "a change")
            standings = self._standings(update)  # 4
            if update.snapshot:
                self._enforcer.replace(standings)
            else:
                self._enforcer.update(standings)
            if update.HasField("access") and update.access.policy:
                self._take_policy(update.access.policy)  # 3
        except FramegateError as error:
            self.disconnected()
            if error.reason == Reason.CONTROLLER_BEHIND:
                self._enforcer.close_all(BEHIND)
            raise
        self._snapshot |= update.snapshot
        self._heard_at_s = self._monotonic()
        if update.revision > self.revision:
            self.revision = update.revision
            keep_private(self._files.revision, str(self.revision).encode(), durable=False)

    def disconnected(self) -> None:
        """The stream ended: until a new snapshot nothing is renewed."""
        self._snapshot = False

    def _require_ahead(self, update: pb.TrustUpdate) -> None:
        position = from_log_position(update)
        anchor = LogAnchor(root=self._own.root)
        if update.snapshot:
            self._log.follow(position, anchor)
        elif position is not None:
            self._log.grow(position.checkpoint, anchor)
        if update.revision < self.revision:
            wanted = f"trust of revision {self.revision} or later"
            raise Refused.of(
                Reason.CONTROLLER_BEHIND, wanted, f"{update.revision}: {BEHIND}", RESTORE
            )

    def _standings(self, update: pb.TrustUpdate) -> dict[str, Standing]:
        now, zone = self._monotonic(), f".{self._own.zone}."
        standings: dict[str, Standing] = {}
        for device in update.devices:
            if zone not in device.device:
                wanted = f"machines of zone {self._own.zone}"
                raise Refused.of(Reason.TRUST_FEED, wanted, ascii(device.device)[:80])
            ends = now + device.remaining_ms / 1000
            standings[device.device] = Standing(device.state, ends)
        return standings

    def _take_policy(self, envelope: bytes, *, kept: bool = False) -> None:
        policy = verify_policy(envelope, self._own.root)
        if self.policy is not None and policy.version <= self.policy.version:
            if policy.version < self.policy.version or policy.sha256 != self.policy.sha256:
                wanted = f"a policy after version {self.policy.version}"
                raise Refused.of(
                    Reason.CONTROLLER_BEHIND, wanted, f"version {policy.version}", RESTORE
                )
            return
        segment = policy.segments.get(self._own.zone)
        if segment is not None and segment != self._enforcer.segment:
            self._enforcer.enforce(segment)
            log.info("segment %s of %s is enforced", segment.name, policy.label)
        elif segment is None:
            log.warning("%s has no segment %s: what held holds on", policy.label, self._own.zone)
        self.policy = policy
        if not kept:
            keep_private(self._files.policy, envelope)


async def follow_feed(
    view: FeedView, credentials: EnforcerCredentials, at: str, server_name: str
) -> None:
    """Keep the feed connected forever."""
    while True:
        try:
            async with fleet_channel(at, server_name, credentials.caller) as stub:
                await read_trust_feed(stub, view)
        except TimeoutError:
            log.info("trust feed: silence")
        except FramegateError as error:
            routine = error.reason == Reason.UNAVAILABLE
            log.log(logging.INFO if routine else logging.ERROR, "trust feed: %s", error)
        view.disconnected()
        await asyncio.sleep(RETRY_S)


def _number(file: Path) -> int:
    try:
        text = file.read_text() if file.exists() else ""
        return int(text or "0")
    except (OSError, ValueError) as error:
        hint = "the state folder was changed: restore it, or begin with an empty one"
        raise Malformed.of(Reason.TRUST_FEED, f"a revision in {file}", error, hint) from error
