"""Firmware profiles: imported, listed, shown; in force at once, or kept for a rollout."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Self

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.names import Kind
from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.profile.weakened import weakened_profile
from framegate.registry.rollout import ProfileRevision
from framegate.signed.dsse import parse_envelope
from framegate_controller.events.notices import AttestNow, DeviceChanged, Notice
from framegate_controller.fleet.profiles import (
    import_profile,
    kind_of_revision,
    load_revision,
)
from framegate_controller.fleet.replay import reconsider
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A revision that is kept, and how many machines name its profile.

    `kind`: the only machines that it is for, None for any. `problem` says why it does not count.
    """

    revision: ProfileRevision
    kind: Kind | None
    in_force: bool
    devices: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A revision with its TOML, which verified."""

    view: ProfileView
    toml: bytes


@dataclass(frozen=True, slots=True)
class ImportProfile(Verb[ProfileView]):
    """Keep a signed profile and its allowlists; in force at once unless it waits for a rollout.

    `claimed` is for words alone: what is kept is what verifies.
    """

    envelope: bytes
    allowlists: tuple[bytes, ...]
    for_rollout: bool
    claimed: FirmwareProfile

    @classmethod
    def parse(cls, request: pb.ImportProfileRequest) -> Self:
        """Raises Malformed."""
        claimed = parse_profile(parse_envelope(request.envelope, PROFILE_TYPE).payload)
        return cls(request.envelope, tuple(request.allowlists), request.for_rollout, claimed)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        claimed, when = self.claimed, "" if self.for_rollout else ", in force at once"
        summary = (
            f"firmware profile {claimed.name} {claimed.version} revision {claimed.revision}{when}"
        )
        return Aim("profile.import", target=claimed.name, summary=summary + self._weakened(tx))

    def _weakened(self, tx: Transaction) -> str:
        """What machines no longer have to show by it, in words; "" for nothing."""
        current = tx.profiles.in_force(self.claimed.name)
        if current is None:
            return ""
        before = parse_profile(parse_envelope(current.envelope, PROFILE_TYPE).payload)
        said = weakened_profile(before, self.claimed)
        return f". WEAKER PROFILE: {'; '.join(said)}" if said else ""

    def run(self, tx: Transaction, call: Call) -> Outcome[ProfileView]:
        """See `Verb.run`."""
        for content in self.allowlists:
            tx.evidence.add_allowlist(content, tx.now_ms)
        loaded = import_profile(tx, call.fleet.keys, self.envelope, in_force=not self.for_rollout)
        freed = [] if self.for_rollout else reconsider(tx, loaded.profile)
        tell: list[Notice] = []
        for device in freed:
            tell += [DeviceChanged(device), AttestNow(device)]
        kept = _kept(tx, loaded.profile.name, loaded.profile.revision)
        return Outcome(_view(tx, kept), tuple(tell))


@dataclass(frozen=True, slots=True)
class ListProfiles(Verb[list[ProfileView]]):
    """Every revision kept, newest first within a name."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("profile.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[ProfileView]]:
        """See `Verb.run`."""
        views = []
        for kept in tx.profiles.revisions():
            problem = ""
            try:
                load_revision(tx, call.fleet.keys, kept.name, kept.revision)
            except FramegateError as error:
                problem = str(error.failures[0])
            views.append(replace(_view(tx, kept), problem=problem))
        return Outcome(views)


@dataclass(frozen=True, slots=True)
class ShowProfile(Verb[ShownProfile]):
    """One revision; 0 is the one in force."""

    name: str
    revision: int

    @classmethod
    def parse(cls, request: pb.ProfileRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.name, request.revision)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("profile.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[ShownProfile]:
        """See `Verb.run`."""
        current = tx.profiles.in_force(self.name)
        kept = _kept(
            tx, self.name, self.revision or (current.revision if current is not None else 0)
        )
        loaded = load_revision(tx, call.fleet.keys, kept.name, kept.revision)
        return Outcome(ShownProfile(_view(tx, kept), loaded.toml))


def _kept(tx: Transaction, name: str, revision: int) -> ProfileRevision:
    profile_revision = tx.profiles.revision(name, revision)
    if profile_revision is None:
        actual = f"{name[:63]!a} {revision}"
        raise Refused.of(
            Reason.NOT_FOUND, "a firmware profile and revision", actual, "framegate profile list"
        )
    return profile_revision


def _view(tx: Transaction, kept: ProfileRevision) -> ProfileView:
    current = tx.profiles.in_force(kept.name)
    in_force = current is not None and current.revision == kept.revision
    kind = None
    with contextlib.suppress(FramegateError):  # a row that was edited has its `problem`
        kind = kind_of_revision(kept)
    return ProfileView(kept, kind, in_force, tx.devices.count(kept.name))
