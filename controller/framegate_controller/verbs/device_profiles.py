"""The firmware profile of a machine, assigned by an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from framegate.identity.names import parse_name
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.fleet.profile_assignment import assign_profile
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.devices import DeviceView, view_of
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class AssignProfile(Verb[DeviceView]):
    """Have a machine appraised by another profile; it is asked for evidence at once."""

    device: str
    profile: str
    why: str

    @classmethod
    def parse(cls, request: pb.AssignProfileRequest) -> Self:
        """Raises Malformed (USAGE)."""
        profile = parse_name(request.profile, "profile")
        return cls(request.device, profile, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        said = f"profile {self.profile} for {device.id}, which has {device.profile}"
        return Aim("device.profile", device.zone, device.id, said)

    def run(self, tx: Transaction, call: Call) -> Outcome[DeviceView]:
        """See `Verb.run`. Raises Refused (TRANSITION, CONFLICT, PROFILE_MISSING,
        PROFILE_KIND)."""
        changed = assign_profile(tx, tx.devices.find(self.device), self.profile, self.why)
        told = (DeviceChanged(changed.id), AttestNow(changed.id))
        return Outcome(view_of(tx, changed), told)
