"""The fleet's certificate authorities: what stands where, and rotation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from cryptography import x509

from framegate.errors import Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import from_ms
from framegate.identity.enforcer import PREFIX as ENFORCER
from framegate.machines.ca import GenerationState
from framegate.record.site_events import REPORT_KIND
from framegate_controller.ca.keys import ISSUING, FleetKeys, Generation
from framegate_controller.clockwork.rotation import made_ms, plan_rotation, rotate
from framegate_controller.events.notices import AccessChanged, EverybodyAttests
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import EntryQuery, Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

WARN_BEFORE: Final = timedelta(days=90)
"""People are told that long before an issuing CA ends; a rotation takes an interval."""
_DEPLOYED: Final = ("line.", f"{ENFORCER}.")
"""Of whom certificates are handed out by hand; a gateway gets a new one with every attestation."""
SAID: Final = timedelta(hours=26)
"""A day, and what a report may be late."""
MAX_TROUBLE: Final = 2_000
"""Entries of trouble with brokers that are looked through: of a day, each reporter's folded."""
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
class DeployedEnd:
    """When the certificate ends with which a line or an enforcer signed its last report;
    `begins_ms` is 0 where that is not known.
    """

    name: str
    ends_ms: int
    begins_ms: int = 0


@dataclass(frozen=True, slots=True)
class BrokerEnd:
    """What `reporter` said at `at_ms` of the certificate that its broker shows."""

    reporter: str
    said: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Authorities:
    """All of them, and where a rotation was asked for, its steps in words. `deployed` are the
    certificates that people carry to where they are used, of whom reports; `brokers` what was
    said of theirs.
    """

    rows: tuple[CaRow, ...]
    plan: tuple[str, ...] = ()
    deployed: tuple[DeployedEnd, ...] = ()
    brokers: tuple[BrokerEnd, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowCa(Verb[Authorities]):
    """The root, every generation of the issuing CAs, the signing keys; when what was handed to
    lines, enforcers and brokers ends.
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
        deployed, brokers = tuple(deployed_ends(tx)), tuple(broker_ends(tx))
        return Outcome(Authorities(rows, deployed=deployed, brokers=brokers))


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


def deployed_ends(tx: Transaction) -> Iterator[DeployedEnd]:
    """Of every line and enforcer that ever reported, by the entry of its last report. One that an
    earlier version took says nothing of it.
    """
    for seen in tx.reports.reporters():
        if seen.reporter.startswith(_DEPLOYED):
            asked = EntryQuery(device=seen.reporter, kind=REPORT_KIND)
            last = tx.log.entries(asked, first=0, below=tx.log.size(), most=1, newest_first=True)
            body = json.loads(last[0].entry) if last else {}
            if "certificate_ends_ms" in body:
                ends, begins = body["certificate_ends_ms"], body.get("certificate_begins_ms", 0)
                yield DeployedEnd(seen.reporter, int(ends), int(begins))


def broker_ends(tx: Transaction) -> Iterator[BrokerEnd]:
    """What each gateway and line said last of its broker's certificate, within `SAID`: they look
    once a day, and say nothing of one whose end is far.
    """
    since_ms = tx.now_ms - int(SAID.total_seconds() * 1000)
    asked = EntryQuery(event=FindingKind.BROKER_TROUBLE, since_ms=since_ms)
    told: set[str] = set()
    for entry in tx.log.entries(
        asked, first=0, below=tx.log.size(), most=MAX_TROUBLE, newest_first=True
    ):
        seen = json.loads(entry.entry)["members"]
        reporter = str(seen["reporter"])
        if seen.get("reason") == Reason.CERTIFICATE_ENDING and reporter not in told:
            told.add(reporter)
            yield BrokerEnd(reporter, str(seen.get("said", "")), int(seen["last_ms"]))


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
