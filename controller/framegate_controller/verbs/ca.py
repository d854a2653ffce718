"""The fleet's certificate authorities: what stands where, and rotation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from cryptography import x509

from framegate.identity.certificates import from_ms
from framegate.machines.ca import GenerationState
from framegate_controller.ca.keys import ISSUING, FleetKeys, Generation
from framegate_controller.clockwork.rotation import made_ms, plan_rotation, rotate
from framegate_controller.events.notices import AccessChanged, EverybodyAttests
from framegate_controller.files_that_end import OtherEnd
from framegate_controller.fleet.endings import (
    BrokerEnd,
    DeployedEnd,
    broker_ends,
    deployed_ends,
    profile_ends,
)
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

WARN_BEFORE: Final = timedelta(days=90)
"""People are told that long before an issuing CA ends; a rotation takes an interval."""
MAX_LABEL: Final = 40
"""Characters of a label, which anybody may have typed, in what approvers read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaRow:
    """One certificate: of the root, a generation of an issuing CA, or a signing key."""

    label: str
    certificate: x509.Certificate
    held_in: str
    state: GenerationState = GenerationState.PRESENT
    note: str = ""


@dataclass(frozen=True, slots=True)
class Authorities:
    """All of them, and where a rotation was asked for, its steps in words. `deployed` are the
    certificates that people carry to where they are used; `brokers` what was said of theirs;
    `others` whatever else ends: see `framegate_controller.fleet.endings`.
    """

    rows: tuple[CaRow, ...]
    plan: tuple[str, ...] = ()
    deployed: tuple[DeployedEnd, ...] = ()
    brokers: tuple[BrokerEnd, ...] = ()
    others: tuple[OtherEnd, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowCa(Verb[Authorities]):
    """The root, every generation of the issuing CAs, the signing keys; when what was handed to
    lines, enforcers and servers ends, signed profiles, and files on this controller's host.
    """

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("ca.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[Authorities]:
        """See `Verb.run`."""
        rows = tuple(ca_rows(tx, call.fleet.keys))
        files = call.fleet.files([sink.name for sink in tx.sinks.all()])
        return Outcome(
            Authorities(
                rows,
                deployed=tuple(deployed_ends(tx)),
                brokers=tuple(broker_ends(tx)),
                others=(*profile_ends(tx, call.fleet.keys), *files),
            )
        )


@dataclass(frozen=True, slots=True)
class PlanRotation(Verb[Authorities]):
    """What a rotation of `label` would do when; it changes nothing."""

    label: str

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("ca.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[Authorities]:
        """See `Verb.run`."""
        plan = plan_rotation(tx, call.fleet, self.label)
        return Outcome(Authorities(tuple(ca_rows(tx, call.fleet.keys)), tuple(plan)))


@dataclass(frozen=True, slots=True)
class RotateCa(Verb[Authorities]):
    """Make the next generation of the issuing CA `label`.

    Machines are asked for evidence, so that they hear of it.
    """

    label: str

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        said = self.label[:MAX_LABEL]
        return Aim("ca.rotate", target=said, summary=f"rotate the {said}")

    def run(self, tx: Transaction, call: Call) -> Outcome[Authorities]:
        """See `Verb.run`. A dry run makes no key: no transaction would take it back."""
        plan = plan_rotation(tx, call.fleet, self.label)
        keys = call.fleet.keys if call.dry_run else rotate(tx, call.fleet, self.label)
        return Outcome(
            Authorities(tuple(ca_rows(tx, keys)), tuple(plan)),
            (AccessChanged(), EverybodyAttests()),
        )


def parse_rotation(request: pb.RotateCaRequest) -> PlanRotation | RotateCa:
    """The rotation, or only its plan: two verbs, as who may look need not be who may rotate."""
    return PlanRotation(request.label) if request.plan else RotateCa(request.label)


def ca_rows(tx: Transaction, keys: FleetKeys) -> Iterator[CaRow]:
    """Root, generations and signing keys, as rows for people."""
    yield CaRow(label="root", certificate=keys.root.certificate, held_in=keys.key_store.place)
    for label in ISSUING:
        for generation in keys.generations(label):
            yield _generation(tx, keys, generation)
    for label, key in keys.signing.items():
        yield CaRow(
            label=f"{label} key",
            certificate=key.certificate,
            held_in="encrypted file",
            note="certified anew by itself",
        )


def _generation(tx: Transaction, keys: FleetKeys, generation: Generation) -> CaRow:
    gone = generation.state == GenerationState.GONE
    return CaRow(
        label=generation.label,
        certificate=generation.certificate,
        held_in="destroyed" if gone else keys.key_store.place,
        state=generation.state,
        note=_note(tx, keys, generation),
    )


def _note(tx: Transaction, keys: FleetKeys, generation: Generation) -> str:
    match generation.state:
        case GenerationState.COMING:
            when = f"{from_ms(made_ms(tx, keys, generation.label)):%F %H:%M}"
            return f"made {when} UTC; waits until every trusted machine has heard of it"
        case GenerationState.GONE:
            return "until nothing it signed lives"
    left = generation.certificate.not_valid_after_utc - from_ms(tx.now_ms)
    ends = f"ends in {left.days} days: framegate ca rotate {generation.label}"
    return ends if left < WARN_BEFORE else ""
