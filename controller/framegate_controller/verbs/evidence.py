"""Kept evidence: what a machine last showed, what a month's would come to under another profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from framegate.errors import Reason, Refused
from framegate.eventlog.quirks import Grants
from framegate.ima.allowlist import Allowlist, parse_allowlist
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.registry.device import Device
from framegate.registry.evidence import KeptEvidence
from framegate_controller.context import Fleet
from framegate_controller.fleet.evidence import stored_expectation
from framegate_controller.fleet.replay import Replayed, replay
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.store.shared.firmware import InMemoryAllowlists
from framegate_controller.verbs.verb import Call, Outcome, StreamedVerb, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class Observed:
    """What a device last showed in evidence that verified.

    Boot log and whole IMA list, binary; `quirks` are what it took to read them.
    """

    device: Device
    kept: KeptEvidence
    boot_log: bytes
    ima: bytes
    quirks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observe(Verb[Observed]):
    """What a device last showed."""

    device: str

    @classmethod
    def parse(cls, request: pb.DeviceRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.device)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        return Aim("device.observe", device.zone, device.id)

    def run(self, tx: Transaction, call: Call) -> Outcome[Observed]:
        """See `Verb.run`."""
        device = tx.devices.find(self.device)
        kept = tx.evidence.last(device.id)
        if kept is None:
            hint = f"framegate {device.kind} attest-now {device.name}"
            raise Refused.of(
                Reason.NOT_FOUND, f"evidence of {device.id} that verified", "none kept", hint
            )
        _, expected = stored_expectation(tx, kept, Grants())
        quirks = tuple(f.actual for f in device.shown.findings if f.reason == Reason.QUIRK)
        return Outcome(
            Observed(device, kept, expected.stored_boot_log, expected.stored_ima, quirks)
        )


@dataclass(frozen=True, slots=True)
class Replay(StreamedVerb[list[str], Replayed]):
    """Verify kept evidence again and appraise it by a profile that need not be signed.

    Of one device, or of all that name the profile; `given` allowlists go before those in the store.
    Nothing is written but that it was done.
    """

    profile: FirmwareProfile
    given: Mapping[bytes, Allowlist]
    device: str
    since_ms: int

    @classmethod
    def parse(cls, request: pb.ReplayRequest) -> Self:
        """Raises Malformed."""
        profile = parse_profile(request.toml)
        given = {a.digest: a for a in map(parse_allowlist, request.allowlists)}
        return cls(profile, given, request.device, request.since_ms)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("evidence.replay", target=self.profile.name)

    def run(self, tx: Transaction, call: Call) -> Outcome[list[str]]:
        """The ids of the evidence to replay, as far as the caller sees its zone."""
        if self.device:
            identifiers = tx.evidence.ids_since(
                self.since_ms, device=tx.devices.find(self.device).id
            )
        else:
            identifiers = tx.evidence.ids_since(self.since_ms, profile=self.profile.name)
        return Outcome([identifier for identifier, zone in identifiers if call.sees(zone)])

    def rows(self, store: Store, fleet: Fleet, start: list[str]) -> Iterator[Replayed]:
        """See `StreamedVerb.rows`. What was forgotten meanwhile is left out."""
        parsed = InMemoryAllowlists()
        for identifier in start:
            with store.reading() as tx:
                kept = tx.evidence.get(identifier)
                replayed = (
                    replay(tx, kept, self.profile, parsed, self.given) if kept is not None else None
                )
            if replayed is not None:
                yield replayed
