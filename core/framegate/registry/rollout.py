"""Firmware profiles as they are kept, and what a rollout has seen of each device."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.identity.names import DeviceId
from framegate.machines.rollout import Plan, Rollout, RolloutState, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileInForce:
    """The revision of a firmware profile that devices are appraised by, as its signed envelope."""

    name: str
    revision: int
    envelope: bytes
    added_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRevision:
    """A revision that was ever signed for this fleet; `sha256` of the signed TOML."""

    name: str
    revision: int
    version: str
    sha256: bytes
    envelope: bytes
    signer: str
    added_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSigner:
    """A profile signer whose word counts no more, by the SHA-256 of its SPKI."""

    sha256: bytes
    subject: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout as it is kept: from which revision to which, and where its machine stands
    (`rollout`).
    """

    id: str
    profile: str
    from_revision: int
    to_revision: int
    plan: Plan
    state: RolloutState
    step: int
    step_ms: int
    started_ms: int
    note: str = ""

    @property
    def rollout(self) -> Rollout:
        """The state machine's view."""
        return Rollout(self.id, self.plan, self.state, self.step, self.step_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDevice:
    """What a rollout has seen of one device; `step` is the step that reaches it."""

    rollout: str
    device: DeviceId
    step: int
    seen: Seen
    shadow: str = ""
    at_ms: int = 0
