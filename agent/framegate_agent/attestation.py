"""Enrol, rejoin and attest: the agent's side of challenge and evidence."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Failure, Reason, Refused
from framegate.evidence.activation import EvidencePromise, activation_mac
from framegate.identity.certificates import (
    Purpose,
    from_ms,
    load_authorities,
    load_certificate,
    verify_certificate,
)
from framegate.identity.device_identity import iak_certify_data
from framegate.identity.foreign_key import ForeignKey
from framegate.ima import cut_entries
from framegate.ima.entry import IMA_PCR
from framegate.tpm.attest import PcrSelection, parse_attest
from framegate.tpm.constants import Alg
from framegate.tpm.public import Public
from framegate.wire import (
    MAX_IMA_BYTES,
    AttestHello,
    Challenge,
    Evidence,
    Hello,
    certify_data,
    quote_data,
    sha256,
    transcript,
)
from framegate_agent.challenges import verified_challenge
from framegate_agent.channel import server_authenticated
from framegate_agent.posture import collect_posture
from framegate_agent.settings import IMA_PATH
from framegate_agent.state import AgentState
from framegate_agent.tpm.chip import Tpm
from framegate_agent.trusted_clock import Sighting, TrustedClock
from framegate_proto.edge import answered, evidence_parts, from_failures
from framegate_proto.targets import known_addresses
from framegate_proto.traces import Metadata, NoTraces, Traces
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
RPC_TIMEOUT_S: Final = 20.0
"""A controller under load answers within a second; a dead one must not hold the agent."""
UNREACHED: Final = "is the controller running and reachable? framegate-agent doctor"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The controller's answer: the new state, and gateways' certificates by the digest of their
    publics.
    """

    state: AgentState
    failures: tuple[Failure, ...]
    gateways: dict[bytes, tuple[bytes, bytes]]
    result_life_ms: int


@dataclass(frozen=True, slots=True)
class _EnrolmentProof:
    """What evidence carries when the machine enrols or rejoins, each as (attest, signature): the AK
    certified the TLS key, the IAK the AK; and the TLS key's own CSR. Empty where there is none.
    """

    certified: tuple[bytes, bytes] = (b"", b"")
    csr: bytes = b""
    vouched: tuple[bytes, bytes] = (b"", b"")


_NOT_ENROLLING: Final = _EnrolmentProof()


class Attester:
    """Proves this machine to a controller. `boot_log` and `ima` are where firmware and kernel put
    their logs; what is missing is refused there.
    """

    def __init__(
        self,
        tpm: Tpm,
        boot_log: Path,
        clock: TrustedClock,
        ima: Path = IMA_PATH,
        watched: tuple[Path, ...] = (),
    ) -> None:
        self.tpm, self.boot_log, self.clock, self.ima, self.watched = (
            tpm,
            boot_log,
            clock,
            ima,
            watched,
        )
        self.traces: Traces = NoTraces()
        self.issuers: tuple[bytes, ...] = ()
        """Certificates (DER) that go with the key that vouches for the AK, as its provider gives
        them: of the chip, and whoever issued that.
        """
        self._counters = (0, 0)

    async def join(self, state: AgentState, code: bytes, publics: tuple[bytes, ...]) -> Outcome:
        """Enrol by the ticket's `code`, or rejoin with an empty one. Raises FramegateError with the
        controller's reasons.
        """
        endorsement, ak, tls = await asyncio.to_thread(
            lambda: (self.tpm.endorsement(), self.tpm.attestation_key(), self.tpm.tls_key())
        )
        iak = (
            await asyncio.to_thread(self.tpm.initial_attestation_key)
            if code and not endorsement.certificates
            else None
        )
        facts, log = await asyncio.to_thread(lambda: (self.tpm.facts(), self._log()))
        hello = Hello(
            client_nonce=secrets.token_bytes(32),
            ticket_code=code,
            ek_certificates=endorsement.certificates,
            ek_public=endorsement.public.raw,
            ak_public=ak.raw,
            tls_public=tls.raw,
            manufacturer=facts.manufacturer,
            firmware_version=facts.firmware_version,
            boot_log_size=len(log),
            ima_log_size=self._ima_size(),
            iak_public=iak.public.raw if iak else b"",
            iak_certificates=(*iak.certificates, *self.issuers) if iak else (),
        ).marshal()
        async with server_authenticated(
            state.join_address, state.server_name, [state.root_certificate]
        ) as channel:
            stub = rpc.JoinStub(channel)
            reply = await _call(stub.Begin, pb.BeginRequest(hello=hello), self.traces.metadata())
            challenge = await self._challenge(state, hello, reply)
            t = transcript(sha256(_der(state)), hello, reply.challenge)

            def prove() -> tuple[bytes, bytes]:
                secret = self.tpm.activate(
                    endorsement, challenge.credential, challenge.encrypted_secret
                )
                certified = self.tpm.certify_tls_key(certify_data(t, tls.spki()))
                vouched = (
                    self.tpm.certify_ak(iak, iak_certify_data(t, ak.name)) if iak else (b"", b"")
                )
                enrolment = _EnrolmentProof(certified, self._csr(tls), vouched)
                evidence = self._evidence(challenge, t, tls, log, publics, enrolment)
                return activation_mac(secret, t, EvidencePromise.of(evidence)), evidence

            mac, evidence = await asyncio.to_thread(prove)
            answer = await _call(
                stub.Complete, evidence_parts(reply.state, mac, evidence), self.traces.metadata()
            )
        return self._outcome(state, answer, tls)

    async def attest(
        self, state: AgentState, channel: grpc.aio.Channel, publics: tuple[bytes, ...]
    ) -> Outcome:
        """Attest again on the fleet port's `channel`. Raises FramegateError."""
        stub: Any = rpc.FleetStub(channel)
        tls, log = await asyncio.to_thread(lambda: (self.tpm.tls_key(), self._log()))
        for everything in (False, True):
            hello = AttestHello(
                client_nonce=secrets.token_bytes(32),
                reset_count=self._counters[0],
                restart_count=self._counters[1],
                boot_log_sha256=bytes(32) if everything else sha256(log),
            ).marshal()
            reply = await _call(stub.Begin, pb.BeginRequest(hello=hello), self.traces.metadata())
            challenge = await self._challenge(state, hello, reply)
            t = transcript(sha256(_der(state)), hello, reply.challenge)
            evidence = await asyncio.to_thread(self._evidence, challenge, t, tls, log, publics)
            answer = await _call(
                stub.Complete,
                evidence_parts(reply.state, b"", evidence, reply.with_offer),
                self.traces.metadata(),
            )
            if not answer.retry_with_boot_log:
                break
        return self._outcome(state, answer, tls)

    async def _challenge(
        self, state: AgentState, hello: bytes, reply: pb.ChallengeReply
    ) -> Challenge:
        """The verified challenge, by which it is now what time it says. Raises Refused, also where
        it is older than what was signed before and the TPM's clock does not bear it out.
        """
        challenge = verified_challenge(reply, hello, state.root_certificate)
        moment_ms = challenge.issued_at_ms
        if self.clock.is_past(moment_ms):
            ahead_s = (self.clock.floor_ms - moment_ms) // 1000
            self.clock.set_back(moment_ms, await asyncio.to_thread(self.tpm.clock_ms))
            log.warning("the controller's clock was %d s ahead: it is what it says now", ahead_s)
        else:
            self.clock.correct(moment_ms)
        return challenge

    def _evidence(
        self,
        challenge: Challenge,
        t: bytes,
        tls: Public,
        log: bytes,
        publics: tuple[bytes, ...],
        enrolment: _EnrolmentProof = _NOT_ENROLLING,
    ) -> bytes:
        posture = collect_posture(self.watched).marshal()
        selection = PcrSelection(Alg(challenge.bank), challenge.pcrs)
        attest, signature = self.tpm.quote(
            selection, quote_data(t, tls.spki(), sha256(log), posture, publics)
        )
        clock = parse_attest(attest).clock_info
        self.clock.saw(Sighting(challenge.issued_at_ms, clock.clock))
        self._counters = (clock.reset_count, clock.restart_count)
        return Evidence(
            certify_attest=enrolment.certified[0],
            certify_signature=enrolment.certified[1],
            quote_attest=attest,
            quote_signature=signature,
            boot_log=log if challenge.want_boot_log else b"",
            boot_log_sha256=sha256(log),
            ima_log=self._ima(challenge),
            posture=posture,
            gateway_publics=publics,
            csr=enrolment.csr,
            iak_attest=enrolment.vouched[0],
            iak_signature=enrolment.vouched[1],
        ).marshal()

    def _csr(self, tls: Public) -> bytes:
        key = _signing(self.tpm, tls)
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def _log(self) -> bytes:
        try:
            return self.boot_log.read_bytes()
        except OSError:
            return b""

    def _ima_size(self) -> int:
        try:
            return len(self.ima.read_bytes())
        except OSError:
            return 0

    def _ima(self, challenge: Challenge) -> bytes:
        """The kernel's list from the entry asked for, read after the quote, so that it holds at
        least what was quoted; nothing where none is asked for.
        """
        if IMA_PCR not in challenge.pcrs:
            return b""
        try:
            whole = self.ima.read_bytes()
        except OSError:
            return b""
        part = cut_entries(whole, challenge.ima_offset) if whole else b""
        if len(part) > MAX_IMA_BYTES:
            wanted = f"an IMA list of at most {MAX_IMA_BYTES} bytes since the last attestation"
            hint = "narrow the IMA policy: see docs/guides/operators/ima-policy.md"
            raise Refused.of(Reason.TOO_LARGE, wanted, len(part), hint)
        return part

    def _outcome(self, state: AgentState, answer: pb.AttestationReply, tls: Public) -> Outcome:
        failures = from_failures(answer.failures)
        gateways = {
            g.publics_sha256: (g.tls_certificate, g.verdict_certificate) for g in answer.gateways
        }
        certificate = ""
        authorities = load_authorities(answer.authorities, state.root_certificate)
        if answer.certificate:
            own = verify_certificate(
                load_certificate(answer.certificate),
                Purpose.DEVICE,
                authorities,
                state.root_certificate,
                from_ms(self.clock.now_ms()),
            )
            if own.spki != tls.spki():
                raise Refused.of(Reason.CERTIFICATE, "a certificate for our TLS key", "another")
            certificate = base64.b64encode(answer.certificate).decode()
        new = replace(
            state,
            device=answer.device,
            zone=answer.zone,
            state=answer.state,
            certificate=certificate,
            result_id=answer.result_id,
            authorities=tuple(base64.b64encode(a).decode() for a in answer.authorities),
            seen_ms=self.clock.now_ms(),
            attest_interval_ms=max(1000, answer.attest_interval_ms),
            join_address=known_addresses(state.join_address, answer.join_address),
            fleet_address=known_addresses(state.fleet_address, answer.fleet_address),
        )
        return Outcome(new, failures, gateways, answer.result_life_ms)


def _signing(tpm: Tpm, tls: Public) -> ForeignKey:
    """The TLS key as `cryptography` wants it for a certificate request."""
    key = tls.key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the TLS key is on P-256")
    return ForeignKey(key, tpm.sign_with_tls_key)


def _der(state: AgentState) -> bytes:
    return base64.b64decode(state.root)


async def _call(method: Any, request: Any, metadata: Metadata) -> Any:
    """A call with one answer, whose errors are ours again; of a channel that was closed before it
    was made, too: the TPM's work lies between, and somebody else may have made another meanwhile.
    """

    async def called() -> Any:
        return await method(request, timeout=RPC_TIMEOUT_S, metadata=metadata or None)

    return await answered(called(), UNREACHED)
