"""Rollouts of firmware profiles: started, changed, looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import split_device_id
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Plan
from framegate.registry.rollout import RolloutDevice, RolloutRecord
from framegate_controller.fleet.rollouts import change_rollout, start_rollout
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROLLOUTS: Final = 50
"""Rollouts told at once, the latest ones."""
MAX_WAVES: Final = 20
"""Waves of a plan; more is no plan."""
MAX_NAME: Final = 63
"""Characters of a profile's name in words."""
MAX_ID: Final = 16
"""Characters of a rollout's id in words."""
MAX_VERB: Final = 20
"""Characters of what is to be done to a rollout."""


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout, and what it has seen of each device, with the device's state now."""

    record: RolloutRecord
    devices: tuple[tuple[RolloutDevice, State], ...]


@dataclass(frozen=True, slots=True)
class StartRollout(Verb[RolloutView]):
    """Bring the newest imported revision to its devices, step by step."""

    profile: str
    plan: Plan

    @classmethod
    def parse(cls, request: pb.StartRolloutRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if len(request.waves) > MAX_WAVES:
            raise Malformed.of(Reason.USAGE, f"at most {MAX_WAVES} waves", len(request.waves))
        plan = Plan(
            request.canary, tuple(request.waves), request.max_fail, request.soak_s, request.shadow
        )
        return cls(request.profile, plan)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        name = self.profile[:MAX_NAME]
        return Aim("rollout.change", target=name, summary=f"roll out {name}")

    def run(self, tx: Transaction, call: Call) -> Outcome[RolloutView]:
        """See `Verb.run`."""
        return Outcome(_view(tx, start_rollout(tx, call.fleet.keys, self.profile, self.plan)))


@dataclass(frozen=True, slots=True)
class ChangeRollout(Verb[RolloutView]):
    """Pause, resume, abort, retire: `change`."""

    rollout: str
    change: str

    @classmethod
    def parse(cls, request: pb.ChangeRolloutRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.rollout, request.verb[:MAX_VERB])

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        name = self.rollout[:MAX_ID]
        return Aim("rollout.change", target=name, summary=f"{self.change} rollout {name}")

    def run(self, tx: Transaction, call: Call) -> Outcome[RolloutView]:
        """See `Verb.run`."""
        record = tx.rollouts.find(self.rollout)
        return Outcome(_view(tx, change_rollout(tx, record, self.change, call.actor)))


@dataclass(frozen=True, slots=True)
class ShowRollouts(Verb[list[RolloutView]]):
    """One rollout, or the latest ones; devices as far as the caller sees their zones."""

    rollout: str

    @classmethod
    def parse(cls, request: pb.RolloutRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.rollout)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("rollout.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[RolloutView]]:
        """See `Verb.run`."""
        records = (
            [tx.rollouts.find(self.rollout)] if self.rollout else tx.rollouts.all(MAX_ROLLOUTS)
        )
        views = [_view(tx, r) for r in records]
        return Outcome(
            [
                RolloutView(v.record, tuple(d for d in v.devices if call.sees(_zone(d[0]))))
                for v in views
            ]
        )


def _view(tx: Transaction, record: RolloutRecord) -> RolloutView:
    return RolloutView(record, tuple(tx.rollouts.devices(record.id)))


def _zone(device: RolloutDevice) -> str:
    return split_device_id(device.device).zone
