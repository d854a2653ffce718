"""Challenge and evidence on both ports: who may begin, what is asked, and what evidence leads to.

Evidence is decoded, verified, appraised and signed on a snapshot, outside the store's one write
transaction; what came of it is written by comparing and setting the device's row, and looked at
again where that has moved meanwhile. An exception anywhere leaves the device as it was; only
authenticated evidence, or an operator, lowers its state.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from framegate.errors import EvidenceRejected, Reason, Refused
from framegate.evidence.activation import EvidencePromise, verify_activation
from framegate.evidence.challenge import ChallengeState
from framegate.evidence.hello import keys_of, parse_hello
from framegate.evidence.verify import Expectation
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate.tpm.public import parse_public
from framegate.wire import AttestHello, sha256
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.callers import standing_device
from framegate_controller.fleet.challenges import Challenges, Demand, SignedChallenge, selection_of
from framegate_controller.fleet.commit import commit
from framegate_controller.fleet.credential import activation_credential
from framegate_controller.fleet.enrolment import (
    Claim,
    claim,
    endorsed,
    present,
    require_unowned,
    reserve,
    standing,
    take_over,
)
from framegate_controller.fleet.firmware import FirmwareRules
from framegate_controller.fleet.judge import known_prefix
from framegate_controller.fleet.looking import Looks
from framegate_controller.fleet.weigh import Case, Weighed
from framegate_controller.store.ports import Moved, Store, Transaction
from framegate_controller.store.shared.content import ContentCache, InMemoryContent
from framegate_controller.store.shared.quotas import (
    BeginQuota,
    DeviceQuota,
    InMemoryBeginQuota,
    InMemoryDeviceQuota,
    MachineRates,
)
from framegate_controller.store.shared.restorations import restored_times
from framegate_controller.store.shared.spent import InMemorySpentSessions, SpentSessions
from framegate_controller.store.shared.tries import InMemoryTicketTries, TicketTries
from framegate_controller.timing import NONCE_LIFE_MS

MAX_LOOKS: Final = 5
"""How often evidence is looked at again because its device moved meanwhile: an operator and a timer
may each move it once.
"""
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class OfferedEvidence:
    """Evidence that came in its offer: SHA-256 of the key that opened the connection, the sealed
    state of the challenge that it answers.
    """

    key_sha256: bytes
    state: bytes
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Looked:
    """What evidence came to on a snapshot, and which challenge it answers."""

    opened: ChallengeState
    case: Case
    weighed: Weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierState:
    """What one verifier process remembers; each can stand beside a shared one."""

    tries: TicketTries = field(default_factory=InMemoryTicketTries)
    begins: BeginQuota = field(default_factory=InMemoryBeginQuota)
    devices: DeviceQuota | None = None  # by the fleet's interval where none is given
    spent: SpentSessions = field(default_factory=InMemorySpentSessions)
    granted: SpentSessions = field(default_factory=InMemorySpentSessions)
    boot_logs: ContentCache = field(default_factory=InMemoryContent)


class Verifier:
    """Begins and completes attestations."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        rules: FirmwareRules | None = None,
        state: VerifierState | None = None,
    ) -> None:
        self.store, self.fleet = store, fleet
        self.rules = rules or FirmwareRules()
        self._state = state or VerifierState()
        with store.reading() as tx:
            restored = restored_times(tx)
        self._challenges = Challenges(fleet, self._state.spent, restored)
        self._looks = Looks(fleet, self.rules, self._state.boot_logs)
        self._devices = self._state.devices or InMemoryDeviceQuota(MachineRates.of(fleet.timing))

    def begin_join(self, hello_bytes: bytes, address: str) -> SignedChallenge:
        """A challenge for a Hello, in this order: decoding and key templates; how many this ticket,
        or where there is none this EK, was given from there; ticket or known EK; endorsement;
        ownership.

        Changes nothing about any device: a stranger may have sent it (N111). A ticket is reserved
        for its EK, not consumed. Raises Malformed, EvidenceRejected, Refused.
        """
        hello = parse_hello(hello_bytes)
        keys = keys_of(hello)
        # whoever knows the public half of an EK takes nothing from who holds a ticket for it
        shown = hello.ticket_code or keys.ek.spki()
        self._state.begins.begin(sha256(shown), address, self.fleet.clock())
        with self.store.reading() as tx:
            applicant = present(tx, hello, keys, address, self._state.tries)
            endorsement = endorsed(tx, applicant, self.fleet)
            require_unowned(
                tx, applicant.device, applicant.ek_sha256, keys.ak.name, replaces=applicant.replaces
            )
            selection = (
                self.rules.for_device(tx, self.fleet, applicant.device)
                .profiles[0]
                .profile.selection
            )
            now = tx.now_ms
        secret = secrets.token_bytes(SECRET_BYTES)
        credential, encrypted = activation_credential(keys.ek, keys.ak, secret)
        demand = Demand(
            selection=selection,
            want_boot_log=True,
            credential=credential,
            encrypted_secret=encrypted,
        )
        challenge = self._challenges.make(hello_bytes, demand, now)
        if applicant.ticket is not None:
            with self.store.writing() as tx:
                reserve(tx, applicant.ticket.code_sha256, applicant.ek_sha256)
        ticket = applicant.ticket
        state = ChallengeState(
            session=challenge.session,
            transcript=self._challenges.transcript(hello_bytes, challenge.marshal()),
            join=1,
            device=applicant.device.id,
            bank=selection.bank,
            pcrs=selection.pcrs,
            ima_offset=0,
            expires_ms=now + NONCE_LIFE_MS,
            secret=secret,
            ticket=ticket.code_sha256 if ticket is not None else b"",
            ek_public=hello.ek_public,
            ak_public=hello.ak_public,
            tls_public=hello.tls_public,
            iak_public=hello.iak_public,
            ek_certified=int(bool(hello.ek_certificates)),
            manufacturer=hello.manufacturer,
            endorsement=endorsement,
        )
        return self._challenges.signed(challenge, state)

    def begin_attest(self, hello_bytes: bytes, device_name: str) -> SignedChallenge:
        """A challenge for an enrolled device on its own TLS connection. Raises Malformed,
        Refused.
        """
        with self.store.reading() as tx:
            device = tx.devices.get(device_name)
            if device is None or device.state == State.RETIRED:
                raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device_name)
            return self.begin_known(tx, hello_bytes, device)

    def begin_known(self, tx: Transaction, hello_bytes: bytes, device: Device) -> SignedChallenge:
        """The same for a device as `tx` has it, which the caller MUST have found standing. Raises
        Malformed, Refused.
        """
        hello = AttestHello.parse(hello_bytes)
        self._devices.look(device.id, 0, self.fleet.clock())
        if device.tpm is None:
            raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device.id)
        accepted, now = self.rules.for_device(tx, self.fleet, device), tx.now_ms
        clock = device.baseline.clock
        known = (
            bool(device.baseline.boot_log_sha256)
            and clock is not None
            and device.baseline.boot_log_sha256 == hello.boot_log_sha256
        )
        moved = clock is None or (clock.reset_count, clock.restart_count) != (
            hello.reset_count,
            hello.restart_count,
        )
        prefix = None if moved else known_prefix(device.baseline, accepted.profiles)
        selection = accepted.profiles[0].profile.selection
        demand = Demand(
            selection=selection,
            want_boot_log=moved or not known,
            ima_offset=prefix.entries if prefix else 0,
        )
        challenge = self._challenges.make(hello_bytes, demand, now)
        state = ChallengeState(
            session=challenge.session,
            transcript=self._challenges.transcript(hello_bytes, challenge.marshal()),
            join=0,
            device=device.id,
            bank=selection.bank,
            pcrs=selection.pcrs,
            ima_offset=demand.ima_offset,
            expires_ms=now + NONCE_LIFE_MS,
            secret=b"",
            ticket=b"",
            ek_public=b"",
            ak_public=b"",
            tls_public=b"",
            iak_public=b"",
            ek_certified=0,
            manufacturer=0,
            endorsement="",
        )
        return self._challenges.signed(challenge, state)

    def offer_join(self, sealed: bytes, mac: bytes, promise: EvidencePromise) -> None:
        """Whether evidence of a join may come, before a byte of it has:

        1. the challenge lives, is for this port, and was not answered here;
        2. the MAC says that the TPM it was made for promises exactly this;
        3. it was not offered here before, and the device has not used up its share, which the
           evidence counts on from now on, whether or not it comes.

        The challenge is not spent yet, but for a wrong MAC, after which it is good for nothing.
        Raises Refused, EvidenceRejected (unauthenticated).
        """
        opened = self._challenges.peeked(sealed, join=True)  # 1
        try:
            verify_activation(opened.secret, opened.transcript, promise, mac)  # 2
        except EvidenceRejected:
            self._challenges.opened(sealed, join=True)
            raise
        self._grant(opened, promise.size)  # 3

    def offer_attest(self, sealed: bytes, size: int, device_name: str) -> None:
        """Whether evidence of an enrolled device may come: its challenge lives, its share is not
        used up. Raises Refused.
        """
        self._grant(self._challenges.peeked(sealed, join=False, device=device_name), size)

    def complete_join(self, sealed: bytes, mac: bytes, evidence: bytes) -> Answer:
        """What evidence of a join leads to: the MAC decides whether this is the TPM it claims to
        be, before anything else is read.

        Only after that does anything in the evidence count, for or against the device. Raises
        Refused, EvidenceRejected (unauthenticated).
        """
        opened = self._challenges.opened(sealed, join=True)
        promise = EvidencePromise.of(evidence)
        verify_activation(opened.secret, opened.transcript, promise, mac)
        self._charge(opened, promise.size)
        ak, tls = parse_public(opened.ak_public), parse_public(opened.tls_public)
        claimed: Claim

        def look(tx: Transaction) -> tuple[Case, Weighed]:
            nonlocal claimed
            claimed = claim(tx, opened, evidence)
            expected = Expectation(
                transcript=opened.transcript,
                ak=ak,
                tls=tls,
                selection=selection_of(opened),
                join=True,
            )
            return self._looks.of(tx, claimed.device, expected, evidence, unpinned=claimed.unpinned)

        def taken(tx: Transaction) -> None:
            take_over(tx, claimed, opened, evidence)

        return self._settled(opened, look, taken)

    def complete_attest(self, sealed: bytes, evidence: bytes, device_name: str) -> Answer:
        """What evidence on the fleet port leads to; the challenge must be this device's own. Raises
        Refused, EvidenceRejected.
        """
        opened = self._challenges.opened(sealed, join=False, device=device_name)
        self._charge(opened, len(evidence))
        return self._settled(opened, partial(self._look_again, opened, evidence))

    def look_offered(self, tx: Transaction, offered: OfferedEvidence) -> Looked:
        """What evidence that came in its offer comes to in this snapshot:

        1. the machine stands, whose key this is;
        2. the challenge lives and is its own, and its share is not used up;
        3. the challenge is spent, and then the evidence is looked at.

        That the key opened the connection, the caller MUST have established. Raises Refused,
        EvidenceRejected.
        """
        device, evidence = standing_device(tx, offered.key_sha256), offered.evidence  # 1
        opened = self._challenges.peeked(offered.state, join=False, device=device.id)
        self._grant(opened, len(evidence))  # 2
        self._challenges.spent(opened)
        case, weighed = self._looks.of_machine(tx, device, opened, evidence)  # 3
        return Looked(opened, case, weighed)

    def settle_offered(self, looked: Looked) -> Answer:
        """Write what evidence came to, if nothing moved; else look again. Raises Refused."""
        again = partial(self._look_again, looked.opened, looked.case.evidence)
        return self._settled(looked.opened, again, looked=(looked.case, looked.weighed))

    def _look_again(
        self, opened: ChallengeState, evidence: bytes, tx: Transaction
    ) -> tuple[Case, Weighed]:
        return self._looks.of_machine(tx, standing(tx, opened.device), opened, evidence)

    def _grant(self, opened: ChallengeState, size: int) -> None:
        """Count evidence on its device's share when it is offered: whoever offers and does not send
        holds room that others wait for. Raises Refused.
        """
        now = self.fleet.clock()
        self._devices.look(opened.device, size, now)
        self._state.granted.take(opened.session, opened.expires_ms, now)
        self._devices.take(opened.device, size, now)

    def _charge(self, opened: ChallengeState, size: int) -> None:
        """Count evidence that came without an offer. Raises Refused."""
        if not self._state.granted.taken(opened.session):
            self._devices.take(opened.device, size, self.fleet.clock())

    def _settled(
        self,
        opened: ChallengeState,
        look: Callable[[Transaction], tuple[Case, Weighed]],
        before: Callable[[Transaction], None] = lambda _tx: None,
        looked: tuple[Case, Weighed] | None = None,
    ) -> Answer:
        """Look at a snapshot, work everything out, write it if nothing moved; else look again.
        `looked` is what the first look came to, where there was one.
        """
        for attempt in range(MAX_LOOKS):
            if looked is None or attempt:
                with self.store.reading() as tx:
                    looked = look(tx)
            case, weighed = looked
            try:
                with self.store.writing() as tx:
                    before(tx)
                    commit(tx, opened, case, weighed)
                    return weighed.answer
            except Moved:
                if attempt + 1 == MAX_LOOKS:
                    raise
        raise AssertionError("the last look returns or raises")
