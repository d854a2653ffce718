"""Challenge and evidence on both ports: who may begin, what is asked, and what evidence leads to.

Evidence is decoded, verified, appraised and signed on a snapshot, outside the store's one write
transaction; what came of it is written by comparing and setting the device's row, and looked at
again where that has moved meanwhile. An exception anywhere leaves the device as it was; only
authenticated evidence, or an operator, lowers its state.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from framegate.errors import EvidenceRejected, Malformed, Reason, Refused
from framegate.evidence.activation import EvidencePromise, verify_activation
from framegate.evidence.challenge import ChallengeState
from framegate.evidence.hello import keys_of, parse_hello
from framegate.evidence.verify import Expectation
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate.tpm.public import parse_public
from framegate.wire import AttestHello, sha256
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer, whole_list_wanted
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
from framegate_controller.fleet.firmware import Accepted, FirmwareRules
from framegate_controller.fleet.judge import Grounds, judge, known_prefix
from framegate_controller.fleet.weigh import Case, Weighed, weigh, weigh_refusal
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
            return self._weighed(tx, claimed.device, expected, evidence, unpinned=claimed.unpinned)

        def taken(tx: Transaction) -> None:
            take_over(tx, claimed, opened, evidence)

        return self._settled(opened, look, taken)

    def complete_attest(self, sealed: bytes, evidence: bytes, device_name: str) -> Answer:
        """What evidence on the fleet port leads to; the challenge must be this device's own. Raises
        Refused, EvidenceRejected.
        """
        opened = self._challenges.opened(sealed, join=False, device=device_name)
        self._charge(opened, len(evidence))
        return self._settled(opened, lambda tx: self._looked(tx, opened, evidence))

    def answer_attest(
        self, key_sha256: bytes, sealed: bytes, evidence: bytes
    ) -> tuple[Device, Answer]:
        """The same for evidence that came in its offer, on one snapshot: the machine as it was, and
        the answer.

        1. it stands, whose key this is;
        2. the challenge lives and is its own, and its share is not used up;
        3. the challenge is spent, and then the evidence is looked at.

        That the key opened the connection, the caller MUST have established. Raises Refused,
        EvidenceRejected.
        """
        with self.store.reading() as tx:
            device = standing_device(tx, key_sha256)  # 1
            opened = self._challenges.peeked(sealed, join=False, device=device.id)
            self._grant(opened, len(evidence))  # 2
            self._challenges.spent(opened)
            looked = self._looked(tx, opened, evidence)  # 3
        answer = self._settled(opened, lambda tx: self._looked(tx, opened, evidence), looked=looked)
        return device, answer

    def _looked(
        self, tx: Transaction, opened: ChallengeState, evidence: bytes
    ) -> tuple[Case, Weighed]:
        """What evidence on the fleet port comes to in this snapshot."""
        device = standing(tx, opened.device)
        if device.tpm is None or device.tls is None:
            raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device.id, "join again")
        accepted = self.rules.for_device(tx, self.fleet, device)
        prefix = known_prefix(device.baseline, accepted.profiles) if opened.ima_offset else None
        ak, tls = parse_public(device.tpm.ak_public), parse_public(device.tls.public)
        expected = Expectation(
            transcript=opened.transcript,
            ak=ak,
            tls=tls,
            selection=selection_of(opened),
            join=False,
            stored_boot_log=self._boot_log(tx, device),
            ima_prefix=prefix,
        )
        if opened.ima_offset and (
            prefix is None or prefix.entries != opened.ima_offset
        ):  # moved by another session, or a new profile
            answer = whole_list_wanted(device, opened.ima_offset)
            return Case(device=device, expected=expected, evidence=evidence), Weighed(
                device=device, answer=answer
            )
        return self._weighed(tx, device, expected, evidence, accepted=accepted)

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

    def _weighed(
        self,
        tx: Transaction,
        device: Device,
        expected: Expectation,
        evidence: bytes,
        *,
        unpinned: bool = False,
        accepted: Accepted | None = None,
    ) -> tuple[Case, Weighed]:
        case = Case(device=device, expected=expected, evidence=evidence, unpinned=unpinned)
        try:
            accepted = accepted or self.rules.for_device(tx, self.fleet, device)
            grounds = Grounds(
                baseline=device.baseline,
                profiles=accepted.profiles,
                allowlists=self.rules.allowlists(tx, [p.profile for p in accepted.profiles]),
                earlier=lambda known: tx.evidence.ima_list(
                    device.id, known.reset_count, known.restart_count, known.entries
                ),
            )
            judged = judge(grounds, evidence, expected, tx.now_ms)
        except (Malformed, EvidenceRejected, Refused) as error:
            return case, weigh_refusal(device, error, tx.now_ms)
        case = replace(case, rollout=accepted.rollout)
        return case, weigh(self.fleet, case, judged, tx.now_ms)

    def _boot_log(self, tx: Transaction, device: Device) -> bytes:
        digest = device.baseline.boot_log_sha256
        boot_log = self._state.boot_logs.get(digest) if digest else b""
        if boot_log is None:
            boot_log = tx.evidence.boot_log(digest) or b""
            if sha256(boot_log) == digest:
                self._state.boot_logs.keep(digest, boot_log)
        return boot_log
