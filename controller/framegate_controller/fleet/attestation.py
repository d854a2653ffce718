"""Challenge and proof on both ports: who may begin, what is asked, and what a proof changes.

Each public method is one transaction. An exception anywhere leaves the device as it was; only authenticated evidence, or an operator,
lowers its state.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason, Refused
from framegate.evidence.activation import verify_activation
from framegate.evidence.appraise import AttestationResult
from framegate.evidence.ear import ear_claims, sign_ear
from framegate.evidence.verify import Expectation, VerifiedEvidence
from framegate.identity.device_identity import verify_iak, verify_iak_certification
from framegate.identity.endorsement import load_chain, verify_endorsement
from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.profile.posture import parse_posture
from framegate.profile.posture_limits import posture_changes
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import DIGEST_SIZE, Alg
from framegate.tpm.credential import make_credential
from framegate.tpm.public import Public, parse_public, require_ak, require_ek, require_tls_key
from framegate.wire import LABEL_CHALLENGE, AttestHello, Challenge, GatewayPublics, Hello, Proof, sha256, transcript
from framegate_controller import VERSION
from framegate_controller.ca.issuance import issue_device, issue_gateway
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.judge import Judgement, accepted_profiles, judge, known_prefix, prefix_text
from framegate_controller.fleet.profiles import load_profile
from framegate_controller.people.policies import ensure_policy
from framegate_controller.store.database import Database
from framegate_controller.store.evidence import store_evidence
from framegate_controller.store.registry import (
    change_state,
    load_clock,
    open_session,
    raise_revision,
    record,
    store_failures,
    store_gateways,
    store_result,
    take_session,
)
from framegate_controller.store.tables import AttestationSession, Device, EvidenceRow, Result, Ticket, TpmAuthority, ZoneRow
from framegate_controller.timing import NONCE_LIFE_MS, RESERVATION_MS, TICKET_TRIES, TICKET_WINDOW_S, Timing

MAX_CHANGES: Final = 20
"""Changes of posture told in one event; after a reboot there may be hundreds of modules."""


@dataclass(frozen=True, slots=True)
class SignedChallenge:
    """Challenge bytes, the challenge key's signature over them, and its certificate (DER)."""

    challenge: bytes
    signature: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proof led to. `certificate` is set only for a trusted device."""

    device: DeviceId
    zone: str
    state: State
    failures: tuple[Failure, ...] = ()
    certificate: x509.Certificate | None = None
    result_id: str = ""
    gateways: tuple[tuple[bytes, x509.Certificate, x509.Certificate], ...] = ()
    retry_with_boot_log: bool = False


@dataclass
class _Tries:
    """Ticket tries of each address in the last window (N31)."""

    seen: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def check(self, peer: str, now_s: float) -> None:
        tries = self.seen[peer]
        while tries and tries[0] < now_s - TICKET_WINDOW_S:
            tries.popleft()
        if len(tries) >= TICKET_TRIES:
            raise Refused.of(Reason.TOO_MANY_TRIES, f"at most {TICKET_TRIES} wrong tickets a minute", len(tries), "wait a minute, then use the ticket as it was given")
        if len(self.seen) > 10_000:  # addresses that are quiet now
            self.seen = defaultdict(deque, {p: t for p, t in self.seen.items() if t})

    def failed(self, peer: str, now_s: float) -> None:
        self.seen[peer].append(now_s)


class Verifier:
    """Begins and completes attestations. `clock` gives milliseconds since the epoch; `controller` is this controller's id."""

    def __init__(self, database: Database, keys: FleetKeys, controller: str, timing: Timing, clock: Callable[[], int]) -> None:
        self.database, self.keys, self.controller, self.timing, self.clock = database, keys, controller, timing, clock
        with database.transaction() as session:
            ensure_policy(session, keys, clock())
        self.fleet = sha256(keys.root.der)
        self._tries = _Tries()

    def begin_join(self, hello_bytes: bytes, peer: str) -> SignedChallenge:
        """A challenge for a Hello, in this order: decoding and key templates; ticket or known EK; endorsement; ownership; session.

        Changes nothing about any device: a stranger may have sent it (N111). A ticket is reserved for its EK, not consumed.
        Raises Malformed, EvidenceRejected, Refused.
        """
        now = self.clock()
        hello = Hello.parse(hello_bytes)
        ek, ak, tls = parse_public(hello.ek_public), parse_public(hello.ak_public), parse_public(hello.tls_public)
        require_ek(ek)
        require_ak(ak)
        require_tls_key(tls, tls.auth_policy)  # which policy it must be is known only after replay
        ek_sha256 = sha256(ek.spki())
        with self.database.transaction() as session:
            device, ticket = self._whose(session, hello, ek_sha256, peer, now)
            endorsement = self._endorsed(session, hello, ek, ek_sha256, ticket, device, now)
            self._unowned(session, device, ek_sha256, ak, replaces=ticket is not None and ticket.replaces)
            selection = load_profile(session, self.keys, device.profile).profile.selection
            secret = secrets.token_bytes(32)
            ephemeral = None
            key = ek.key()
            if isinstance(key, ec.EllipticCurvePublicKey):
                ephemeral = ec.generate_private_key(key.curve)
            credential, encrypted = make_credential(ek, ak.name, secret, seed=secrets.token_bytes(DIGEST_SIZE[ek.name_alg]), ephemeral=ephemeral)
            challenge = self._challenge(hello_bytes, selection, now, credential, encrypted, want_boot_log=True)
            open_session(session, AttestationSession(
                id=challenge.session, device=device.id, peer=peer, join=True, hello=hello_bytes, challenge=challenge.marshal(), secret=secret,
                ticket=ticket.code_sha256 if ticket else None, endorsement=endorsement, expires_ms=now + NONCE_LIFE_MS,
            ), now)  # fmt: skip
            if ticket is not None:
                ticket.reserved_ek, ticket.reserved_until_ms = ek_sha256, now + RESERVATION_MS
        return self._signed(challenge)

    def begin_attest(self, hello_bytes: bytes, device_name: str, peer: str) -> SignedChallenge:
        """A challenge for an enrolled device on its own TLS connection. Raises Malformed, Refused."""
        now = self.clock()
        hello = AttestHello.parse(hello_bytes)
        with self.database.transaction() as session:
            device = session.get(Device, device_name)
            if device is None or device.state == State.RETIRED or device.ak_public is None:
                raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device_name)
            clock = load_clock(device)
            known = bool(device.boot_log) and clock is not None and sha256(device.boot_log) == hello.boot_log_sha256
            moved = clock is None or (clock.reset_count, clock.restart_count) != (hello.reset_count, hello.restart_count)
            profiles, _ = accepted_profiles(session, self.keys, device)
            prefix = None if moved else known_prefix(device, profiles)
            selection = profiles[0].profile.selection
            offset = prefix.entries if prefix else 0
            challenge = self._challenge(hello_bytes, selection, now, b"", b"", want_boot_log=moved or not known, ima_offset=offset)
            open_session(session, AttestationSession(
                id=challenge.session, device=device.id, peer=peer, join=False, hello=hello_bytes, challenge=challenge.marshal(), secret=b"",
                expires_ms=now + NONCE_LIFE_MS,
            ), now)  # fmt: skip
        return self._signed(challenge)

    def complete_join(self, session_id: bytes, mac: bytes, proof: bytes) -> Answer:
        """What a join proof leads to: the nonce is consumed first, then the MAC decides whether this is the TPM it claims to be.

        Only after that does anything in the proof count, for or against the device. Raises Refused, EvidenceRejected (unauthenticated).
        """
        row = self._consume(session_id, join=True)
        t = transcript(self.fleet, row.hello, row.challenge)
        verify_activation(row.secret, t, proof, mac)
        hello, challenge = Hello.parse(row.hello), Challenge.parse(row.challenge)
        with self.database.transaction() as session:
            device = self._device(session, row.device)
            ek, ak, tls = parse_public(hello.ek_public), parse_public(hello.ak_public), parse_public(hello.tls_public)
            ek_sha256 = sha256(ek.spki())
            unpinned = replaces = False
            if row.ticket is not None:
                unpinned, replaces = self._use_ticket(session, row.ticket, ek_sha256)
                if unpinned and not hello.ek_certificates:
                    self._vouched(proof, hello, ak, t)
            elif device.ek_sha256 != ek_sha256:
                raise Refused.of(Reason.EK_UNKNOWN, "this device's EK", "another")
            self._unowned(session, device, ek_sha256, ak, replaces=replaces)
            if replaces and device.ek_sha256 not in {None, ek_sha256}:
                self._replace(session, device)
            device.ek_sha256, device.ek_public, device.endorsement = ek_sha256, hello.ek_public, row.endorsement
            device.ak_name, device.ak_public, device.manufacturer = ak.name, hello.ak_public, hello.manufacturer
            expected = Expectation(transcript=t, ak=ak, tls=tls, selection=_selection(challenge), join=True)
            return self._decide(session, device, proof, expected, tls, unpinned=unpinned)

    def complete_attest(self, session_id: bytes, proof: bytes, device_name: str) -> Answer:
        """What a proof on the fleet port leads to; the session must be this device's own. Raises Refused, EvidenceRejected."""
        row = self._consume(session_id, join=False, device=device_name)
        t = transcript(self.fleet, row.hello, row.challenge)
        with self.database.transaction() as session:
            device = self._device(session, row.device)
            if device.ak_public is None or device.tls_public is None:
                raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device.id, "join again")
            ak, tls = parse_public(device.ak_public), parse_public(device.tls_public)
            challenge = Challenge.parse(row.challenge)
            prefix = known_prefix(device, accepted_profiles(session, self.keys, device)[0]) if challenge.ima_offset else None
            if challenge.ima_offset and (prefix is None or prefix.entries != challenge.ima_offset):  # moved by another session, or a new profile
                again = Failure(Reason.IMA_REQUIRED, "the whole IMA list", f"entries from {challenge.ima_offset}", "begin again")
                return Answer(DeviceId(device.id), device.zone, State(device.state), (again,), retry_with_boot_log=True)
            expected = Expectation(
                transcript=t, ak=ak, tls=tls, selection=_selection(challenge), join=False, stored_boot_log=device.boot_log, ima_prefix=prefix,
            )  # fmt: skip
            return self._decide(session, device, proof, expected, tls, unpinned=False)

    def _decide(self, session: Session, device: Device, proof: bytes, expected: Expectation, tls: Public, *, unpinned: bool) -> Answer:
        now = self.clock()
        try:
            judged = judge(session, self.keys, device, proof, expected, now)
            evidence, result = judged.evidence, judged.result
        except (Malformed, EvidenceRejected, Refused) as error:
            return self._contradicted(session, device, error, now)
        result_id = secrets.token_hex(16)
        publics: tuple[GatewayPublics, ...] = ()
        if result.affirming:
            try:
                publics = self._publics(device, result)
            except (Malformed, EvidenceRejected) as error:
                return self._contradicted(session, device, EvidenceRejected(error.failures, authenticated=True), now)
        self._note_posture(session, device, evidence.posture, now)
        pcrs = json.dumps({str(p): v.hex() for p, v in evidence.pcrs.items()})
        store_result(
            session, device, result, result_id=result_id, boot_log=evidence.boot_log_bytes, pcrs=pcrs,
            posture=evidence.posture.decode(errors="replace"), now_ms=now, life_ms=self.timing.result_life_ms, proof=proof,
            profile=judged.loaded.words, profile_sha256=judged.loaded.sha256,
        )  # fmt: skip
        evidence_id = store_evidence(session, device, expected, evidence, result, proof, judged.loaded.words, now)
        self._sign_result(session, device, judged, result_id, evidence_id, now)
        device.findings = json.dumps([[f.reason.value, f.expected, f.actual, f.hint] for f in judged.findings])
        if not result.affirming:
            state = self._lower(session, device, now, result.failures)
            return Answer(DeviceId(device.id), device.zone, state, result.failures)
        device.ima_prefix, device.ima_profile_sha256 = prefix_text(result.ima_prefix), judged.loaded.sha256
        edge = Edge.PROVED_UNPINNED if unpinned and device.state == State.INVITED else Edge.PROVED
        state = change_state(session, device, edge, device.id, now)
        device.tls_public, device.tls_spki_sha256 = tls.raw, sha256(result.tls_spki)
        if state != State.TRUSTED:
            return Answer(DeviceId(device.id), device.zone, state, (_held(state, device),))
        record(session, now, device.id, "attested", device.id, f"result {result_id}, evidence {device.evidence_sha256.hex()}, {judged.loaded.words}")
        return self._trusted(session, device, evidence, result, publics, result_id, now)

    def _note_posture(self, session: Session, device: Device, raw: bytes, now: int) -> None:
        """Record what changed on the machine since it last reported: its own word, told because people want to know, not because it is proof."""
        try:
            changes = posture_changes(parse_posture(device.posture.encode()), parse_posture(raw)) if device.posture else []
        except FramegateError:
            return  # the appraisal says what is wrong with it
        if changes:
            more = f" and {len(changes) - MAX_CHANGES} more" if len(changes) > MAX_CHANGES else ""
            record(session, now, device.id, "posture-changed", device.id, "; ".join(changes[:MAX_CHANGES])[:1000] + more)

    def _sign_result(self, session: Session, device: Device, judged: Judgement, result_id: str, evidence_id: str, now: int) -> None:
        """The result as an EAR that anybody with the fleet's root can check; kept with what it rests on."""
        session.flush()
        result = judged.result
        claims = ear_claims(
            device=device.id, result_id=result_id, vector=dict(result.vector), profile=judged.loaded.words, profile_sha256=judged.loaded.sha256,
            evidence_sha256=result.evidence_digest, failures=[f.as_dict() for f in result.failures], findings=[f.as_dict() for f in judged.findings],
            tpm={
                "firmware": f"{result.firmware_version:016x}", "manufacturer": f"{device.manufacturer:08x}", "ak-name": (device.ak_name or b"").hex(),
                "ek-sha256": (device.ek_sha256 or b"").hex(), "endorsement": device.endorsement, "reset-count": result.clock.reset_count,
                "restart-count": result.clock.restart_count,
            },
            controller=self.controller, build=VERSION, issued_at_s=now // 1000, expires_at_s=(now + self.timing.result_life_ms) // 1000,
        )  # fmt: skip
        ear = sign_ear(claims, self.keys.signing["result"])
        row, kept = session.get(Result, result_id), session.get(EvidenceRow, evidence_id)
        if row is not None:  # only an affirming result has a row, and is what receipts name
            row.evidence, row.ear = evidence_id, ear
        if kept is not None:
            kept.ear = ear

    def _trusted(
        self, session: Session, device: Device, evidence: VerifiedEvidence, result: AttestationResult, publics: tuple[GatewayPublics, ...], result_id: str, now: int
    ) -> Answer:
        raise_revision(session)
        life, at = timedelta(milliseconds=self.timing.result_life_ms), datetime.fromtimestamp(now / 1000, UTC)
        identifier = DeviceId(device.id)
        certificate = issue_device(self.keys, identifier, result, life, at)
        device.certificate_expires_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
        gateways = tuple((sha256(raw), *issue_gateway(self.keys, identifier, p, life, at)) for raw, p in zip(evidence.gateway_publics, publics, strict=True))
        store_gateways(session, device.id, evidence.gateway_publics, result_id)
        return Answer(identifier, device.zone, State.TRUSTED, (), certificate, result_id, gateways)

    def _contradicted(self, session: Session, device: Device, error: FramegateError, now: int) -> Answer:
        """Record why; lower the state only where the device's own TPM vouches for what was sent. A missing log is asked for again."""
        if error.reason in {Reason.BOOT_LOG_REQUIRED, Reason.IMA_REQUIRED}:
            device.ima_prefix = "" if error.reason == Reason.IMA_REQUIRED else device.ima_prefix
            return Answer(DeviceId(device.id), device.zone, State(device.state), error.failures, retry_with_boot_log=True)
        store_failures(device, error.failures, now)
        record(session, now, device.id, "evidence-refused", device.id, "; ".join(f.reason for f in error.failures))
        if isinstance(error, EvidenceRejected) and error.authenticated:
            self._lower(session, device, now, error.failures)
        return Answer(DeviceId(device.id), device.zone, State(device.state), error.failures)

    def _lower(self, session: Session, device: Device, now: int, failures: tuple[Failure, ...]) -> State:
        store_gateways(session, device.id, (), "")
        device.result_expires_ms = min(device.result_expires_ms, now)
        return change_state(session, device, Edge.CONTRADICTED, device.id, now, "; ".join(f.reason for f in failures))

    def _publics(self, device: Device, result: AttestationResult) -> tuple[GatewayPublics, ...]:
        if result.gateway_publics and device.kind != Kind.GATEWAY:
            raise EvidenceRejected(
                [Failure(Reason.PUBLICS, f"no gateway keys from a {device.kind}", f"{len(result.gateway_publics)}", "enrol the host with: framegate gateway invite")]
            )
        return tuple(GatewayPublics.parse(raw) for raw in result.gateway_publics)

    def _consume(self, session_id: bytes, *, join: bool, device: str = "") -> AttestationSession:
        with self.database.transaction() as session:  # a transaction of its own: whatever fails later, this nonce is spent
            waiting = session.get(AttestationSession, session_id)
            if waiting is None or waiting.join != join or (device and waiting.device != device):
                raise Refused.of(Reason.SESSION_UNKNOWN, "a session of this device that waits for its proof", "none, or one already used", "begin again")
            return take_session(session, session_id, self.clock())

    def _device(self, session: Session, name: str) -> Device:
        device = session.get(Device, name)
        if device is None or device.state == State.RETIRED:
            raise Refused.of(Reason.DEVICE_RETIRED, "an enrolled device", f"{name} is retired", "an operator has to invite it anew")
        return device

    def _whose(self, session: Session, hello: Hello, ek_sha256: bytes, peer: str, now: int) -> tuple[Device, Ticket | None]:
        if not hello.ticket_code:
            device = session.scalars(select(Device).where(Device.ek_sha256 == ek_sha256)).one_or_none()
            if device is None or device.state == State.RETIRED:
                raise Refused.of(Reason.EK_UNKNOWN, "the EK of an enrolled device", ek_sha256.hex(), "this TPM has not joined: ask an operator for a ticket")
            return device, None
        self._tries.check(peer, now / 1000)
        ticket = session.get(Ticket, sha256(hello.ticket_code))
        if ticket is None or len(hello.ticket_code) != 16:
            self._tries.failed(peer, now / 1000)
            raise Refused.of(Reason.TICKET_UNKNOWN, "a ticket of this fleet", "another code", "ask an operator: framegate camera invite NAME")
        if ticket.used_ms:
            raise Refused.of(Reason.TICKET_USED, "a ticket not used yet", "a used one", "a machine that has joined comes back without a ticket")
        if ticket.expires_ms < now:
            raise Refused.of(Reason.TICKET_EXPIRED, "a ticket still valid", f"expired {(now - ticket.expires_ms) // 60000} min ago", "ask for a new one")
        if ticket.reserved_ek not in {None, ek_sha256} and ticket.reserved_until_ms > now:
            raise Refused.of(Reason.TICKET_RESERVED, "a ticket no other machine is using", "another TPM began with it", "wait a minute")
        device = self._device(session, ticket.device)
        rule = session.get(ZoneRow, device.zone)
        if rule is not None and rule.frozen:
            raise Refused.of(Reason.ZONE_FROZEN, f"zone {device.zone} open for changes", f"frozen: {rule.reason}", "join when it is thawed; the ticket stays good until it ends")
        return device, ticket

    def _endorsed(self, session: Session, hello: Hello, ek: Public, ek_sha256: bytes, ticket: Ticket | None, device: Device, now: int) -> str:
        """In words, what vouches for the EK: the hash an operator pinned, or a maker's chain."""
        if ticket is None:
            return device.endorsement
        if ticket.ek_sha256 is not None:
            if ticket.ek_sha256 != ek_sha256:
                raise Refused.of(Reason.EK_NOT_PINNED, f"the EK {ticket.ek_sha256.hex()}", ek_sha256.hex(), "this ticket is for another machine")
            return "EK hash pinned by an operator"
        roots = [x509.load_der_x509_certificate(der) for der in session.scalars(select(TpmAuthority.certificate)).all()]
        at = datetime.fromtimestamp(now / 1000, UTC)
        if not hello.ek_certificates and hello.iak_certificates:  # that it vouches for this AK is shown by the proof
            leaf = verify_iak(parse_public(hello.iak_public), hello.iak_certificates, roots, at)
            return f"IAK certificate {leaf.serial_number:x} by {leaf.issuer.rfc4514_string()}"
        leaf = verify_endorsement(ek, hello.ek_certificates, roots, at)
        put_right = sorted({n for c in load_chain(hello.ek_certificates) for n in c.notes})
        flags = f" (put right: {', '.join(put_right)})" if put_right else ""
        return f"certificate {leaf.serial_number:x} by {leaf.issuer.rfc4514_string()}{flags}"

    def _unowned(self, session: Session, device: Device, ek_sha256: bytes, ak: Public, *, replaces: bool = False) -> None:
        """No other device owns this EK or AK; one that is retired gives them up only to a new ticket, which is what led here."""
        others = select(Device).where((Device.ek_sha256 == ek_sha256) | (Device.ak_name == ak.name), Device.id != device.id)
        for other in session.scalars(others).all():
            if other.state != State.RETIRED:
                raise Refused.of(Reason.KEY_OWNED, "a TPM that is no other device's", f"that of {other.id}", f"framegate camera retire {other.name}, then invite anew")
            other.ek_sha256 = other.ak_name = None
        session.flush()
        if device.ek_sha256 not in {None, ek_sha256} and not replaces:
            hint = f"is its mainboard another one? framegate {device.kind} replace {device.name}; a copied disk does not carry an identity"
            raise Refused.of(Reason.KEY_OWNED, f"the TPM that {device.id} joined with", "another", hint)

    def _replace(self, session: Session, device: Device) -> None:
        """End the identity of the machine that stood here: keys, certificate, result, log and list go in this very transaction."""
        old = (device.ek_sha256 or b"").hex()
        change_state(session, device, Edge.REPLACED, device.id, self.clock(), f"the machine with EK {old[:16]}… gave way to another")
        device.tls_public = device.tls_spki_sha256 = None
        device.clock = device.ima_prefix = ""
        device.boot_log = device.ima_profile_sha256 = b""
        device.result_id, device.result_ms, device.result_expires_ms, device.certificate_expires_ms = "", 0, 0, 0
        store_gateways(session, device.id, (), "")
        session.flush()

    def _vouched(self, proof: bytes, hello: Hello, ak: Public, t: bytes) -> None:
        """Where no EK certificate stood behind the ticket, the IAK of the Hello has to vouch for this AK. Raises EvidenceRejected, Malformed."""
        body = Proof.parse(proof)
        verify_iak_certification(parse_public(hello.iak_public), ak, body.iak_attest, body.iak_signature, t)

    def _use_ticket(self, session: Session, code_sha256: bytes, ek_sha256: bytes) -> tuple[bool, bool]:
        """Consume the ticket; (not bound to an EK hash, so that an operator has to approve; it brings another machine for a device)."""
        ticket = session.get(Ticket, code_sha256)
        if ticket is None or ticket.used_ms or ticket.reserved_ek != ek_sha256:
            raise Refused.of(Reason.TICKET_USED, "a ticket not used yet", "a used one", "exactly one machine joins by a ticket")
        ticket.used_ms = self.clock()
        record(session, ticket.used_ms, ticket.device, "ticket-used", ticket.device)
        return ticket.ek_sha256 is None, ticket.replaces

    def _challenge(self, hello: bytes, selection: PcrSelection, now: int, credential: bytes, encrypted: bytes, *, want_boot_log: bool, ima_offset: int = 0) -> Challenge:
        return Challenge(
            hello_sha256=sha256(hello), session=secrets.token_bytes(16), nonce=secrets.token_bytes(32), credential=credential,
            encrypted_secret=encrypted, bank=selection.bank, pcrs=selection.pcrs, ima_offset=ima_offset, want_boot_log=int(want_boot_log),
            controller=self.controller, issued_at_ms=now, deadline_ms=NONCE_LIFE_MS, attest_interval_ms=self.timing.interval_ms,
        )  # fmt: skip

    def _signed(self, challenge: Challenge) -> SignedChallenge:
        key, raw = self.keys.signing["challenge"], challenge.marshal()
        return SignedChallenge(raw, key.sign(LABEL_CHALLENGE + raw), key.certificate.public_bytes(serialization.Encoding.DER))


def _selection(challenge: Challenge) -> PcrSelection:
    return PcrSelection(Alg(challenge.bank), challenge.pcrs)


def _held(state: State, device: Device) -> Failure:
    reason = {State.SUSPECT: Reason.SUSPECT, State.QUARANTINED: Reason.QUARANTINED, State.PENDING: Reason.APPROVAL_NEEDED}.get(state, Reason.NOT_TRUSTED)
    verb = "approve" if state == State.PENDING else "release"
    return Failure(reason, "a trusted device", state.value, f"evidence passes; an operator decides: framegate {device.kind} {verb} {device.name}")
