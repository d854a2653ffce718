"""What counts for a machine: the profile in force, the one that a rollout brings, allowlists.

All of it is read anew only where it changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from framegate.ima.allowlist import Allowlist
from framegate.profile.model import FirmwareProfile
from framegate.profile.signed import LoadedProfile
from framegate.registry.device import Device
from framegate.registry.rollout import RolloutRecord
from framegate_controller.context import Fleet
from framegate_controller.fleet.profiles import load_profile
from framegate_controller.fleet.rollouts import (
    LIVE,
    ActiveRollout,
    Revisions,
    latest_rollout,
    load_revisions,
    place_in,
)
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.firmware import (
    AtRevision,
    InMemoryAllowlists,
    InMemoryAtRevision,
    InMemoryProfiles,
    ParsedAllowlists,
    VerifiedProfiles,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a device is appraised by.

    The profile in force, then the other one of a rollout under way; and that rollout.
    """

    profiles: tuple[LoadedProfile, ...]
    rollout: ActiveRollout | None


@dataclass(frozen=True, slots=True)
class InForce:
    """What counts for all devices of a profile, under a fleet's `root` (DER).

    `pair` are a rollout's revisions, None where few of the devices need them.
    """

    root: bytes
    current: LoadedProfile
    rollout: RolloutRecord | None
    pair: Revisions | None

    def good(self, root: bytes, now_ms: int) -> bool:
        """Whether it is of this `root`, and every signer's word still good at `now_ms`."""
        named = (self.current, *((self.pair.old, self.pair.new) if self.pair else ()))
        return self.root == root and all(p.lives(now_ms) for p in named)


class FirmwareRules:
    """Reads what counts, with one statement where nothing changed since it was read before.

    Remembered are: what counts for a profile, by firmware revision; verified profiles, by root and
    envelope; parsed allowlists, by digest. A revoked signer, a changed rollout or profile raise the
    revision; a signer's certificate that ended is noticed by the time of the transaction.
    """

    def __init__(
        self,
        verified: VerifiedProfiles | None = None,
        allowlists: ParsedAllowlists | None = None,
        in_force: AtRevision[InForce] | None = None,
    ) -> None:
        self._verified = verified if verified is not None else InMemoryProfiles()
        self._allowlists = allowlists if allowlists is not None else InMemoryAllowlists()
        self._in_force = in_force if in_force is not None else InMemoryAtRevision[InForce]()

    def for_device(self, tx: Transaction, fleet: Fleet, device: Device) -> Accepted:
        """What `device` is appraised by.

        Raises Refused (PROFILE_MISSING), or what verification says.
        """
        counts = self._counts(tx, fleet, device.profile)
        mine = place_in(tx, counts.rollout, device) if counts.rollout is not None else None
        if counts.rollout is None or mine is None:
            return Accepted((counts.current,), None)
        pair = counts.pair or load_revisions(tx, fleet.keys, counts.rollout, self._verified)
        rollout = ActiveRollout(counts.rollout, mine, pair.old, pair.new)
        return Accepted((counts.current, rollout.other), rollout)

    def allowlists(
        self, tx: Transaction, profiles: Iterable[FirmwareProfile]
    ) -> dict[bytes, Allowlist]:
        """See `read_allowlists`; parsed once for the whole process."""
        return read_allowlists(tx, profiles, self._allowlists)

    def _counts(self, tx: Transaction, fleet: Fleet, profile: str) -> InForce:
        revision = tx.firmware_revision()
        known = self._in_force.get(profile, revision)
        if known is not None and known.good(fleet.keys.root.der, tx.now_ms):
            return known
        current = load_profile(tx, fleet.keys, profile, self._verified)
        rollout = latest_rollout(tx, profile)
        pair = None
        if (
            rollout is not None and rollout.state in LIVE
        ):  # an aborted one is read only for those that it had reached
            pair = load_revisions(tx, fleet.keys, rollout, self._verified)
        counts = InForce(fleet.keys.root.der, current, rollout, pair)
        self._in_force.keep(profile, revision, counts)
        return counts


def read_allowlists(
    tx: Transaction, profiles: Iterable[FirmwareProfile], parsed: ParsedAllowlists
) -> dict[bytes, Allowlist]:
    """The allowlists that `profiles` name, as far as they are kept.

    Raises Refused (ALLOWLIST) where one was edited in the store.
    """
    allowlists: dict[bytes, Allowlist] = {}
    for digest in {d for p in profiles if p.ima for d in p.ima.allowlists}:
        allowlist = parsed.get(digest)
        if allowlist is None:
            allowlist = tx.evidence.allowlist(digest)
            if allowlist is None:
                continue
            parsed.keep(allowlist)
        allowlists[digest] = allowlist
    return allowlists
