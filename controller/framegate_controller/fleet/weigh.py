"""What a judgement means for a device: its next state, its result, its certificates, worked out on
a value and written nowhere.

All that costs time, signing above all, is done here, outside the store's one write transaction;
`fleet.commit` only writes what was worked out, if the device is still what it was.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason
from framegate.evidence.ear import ear_claims, sign_ear
from framegate.evidence.verify import Expectation
from framegate.identity.certificates import from_ms, spki_of
from framegate.identity.evidence_form import form_of
from framegate.identity.gateway_process import one_key_twice, process_keys
from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State, step
from framegate.profile.posture import parse_posture, posture_text
from framegate.profile.posture_limits import posture_changes
from framegate.record.event import Event
from framegate.record.machine_events import Attested, EvidenceRefused, PostureChanged
from framegate.registry.device import Baseline, Device, GatewayProcess, Shown, Standing, TlsKey
from framegate.registry.evidence import KeptEvidence
from framegate.wire import GatewayPublics, sha256
from framegate_controller import VERSION
from framegate_controller.ca.issue import issue_backend, issue_device, issue_gateway
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer, GatewayWarrant, held_back
from framegate_controller.fleet.evidence import Proved, kept_evidence
from framegate_controller.fleet.judge import Judgement
from framegate_controller.fleet.rollouts import ActiveRollout, Noticed

ASK_AGAIN: Final = frozenset({Reason.BOOT_LOG_REQUIRED, Reason.IMA_REQUIRED})
"""A log that was left out is asked for again; it says nothing about the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What is to be written if the device is still as it was looked at.

    `device` stands as it will but for `edge`; `told` are events before the edge, `after` those
    after it. `processes`: the gateway processes its host vouches for from now on, None for as
    before.
    """

    device: Device
    answer: Answer
    edge: Edge | None = None
    why: str = ""
    told: tuple[Event, ...] = ()
    after: tuple[Event, ...] = ()
    processes: tuple[GatewayProcess, ...] | None = None
    judged: Judgement | None = None
    noticed: Noticed | None = None
    result_id: str = ""
    kept: KeptEvidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is weighed: the device as it was looked at, its evidence and what was expected of it,
    the rollout that reaches it, how it came.
    """

    device: Device
    expected: Expectation
    evidence: bytes
    rollout: ActiveRollout | None = None
    unpinned: bool = False


def weigh(fleet: Fleet, case: Case, judged: Judgement, now_ms: int) -> Weighed:
    """What verified and appraised evidence means. Signs; writes nothing."""
    device, evidence, result = case.device, judged.evidence, judged.result
    publics: tuple[GatewayPublics, ...] = ()
    if result.affirming:
        try:
            publics = _publics(device, result.gateway_publics)
        except (Malformed, EvidenceRejected) as error:
            return weigh_refusal(
                device, EvidenceRejected(error.failures, authenticated=True), now_ms
            )
    noticed = case.rollout.look(judged.affirmed) if case.rollout is not None else None
    told = _posture_told(device, evidence.posture)
    shown = _shown(judged, noticed, now_ms)
    seen = Weighed(
        device=replace(device, shown=shown),
        answer=Answer(device.id, device.zone, device.state, result.failures),
        told=told,
        judged=judged,
        noticed=noticed,
        result_id=secrets.token_hex(16),
    )
    seen = replace(seen, kept=_kept(fleet, case, seen, judged, now_ms))
    return (
        _affirmed(fleet, case, seen, publics, now_ms)
        if result.affirming
        else _lowered(seen, result.failures, now_ms)
    )


def weigh_refusal(device: Device, error: FramegateError, now_ms: int) -> Weighed:
    """What evidence that did not hold means: only where the device's own TPM vouches for what was
    sent, its state falls.
    """
    answer = Answer(device.id, device.zone, device.state, error.failures)
    if error.reason in ASK_AGAIN:
        forgotten = (
            replace(device.baseline, ima=None)
            if error.reason == Reason.IMA_REQUIRED
            else device.baseline
        )
        return Weighed(
            device=replace(device, baseline=forgotten),
            answer=replace(answer, retry_with_boot_log=True),
        )
    shown = replace(device.shown, failures=error.failures, failures_ms=now_ms)
    refused = EvidenceRefused(device=device.id, reasons=tuple(f.reason for f in error.failures))
    seen = Weighed(device=replace(device, shown=shown), answer=answer, told=(refused,))
    if isinstance(error, EvidenceRejected) and error.authenticated:
        return _lowered(seen, error.failures, now_ms)
    return seen


def _lowered(seen: Weighed, failures: tuple[Failure, ...], now_ms: int) -> Weighed:
    """Authenticated evidence contradicts policy: no gateway process of it stands, no result of it
    goes on.
    """
    device = seen.device
    ended = replace(device.standing, expires_ms=min(device.standing.expires_ms, now_ms))
    return replace(
        seen,
        device=replace(device, standing=ended),
        answer=replace(seen.answer, state=step(device.state, Edge.CONTRADICTED)),
        edge=Edge.CONTRADICTED,
        why="; ".join(f.reason for f in failures),
        processes=(),
    )


def _affirmed(
    fleet: Fleet, case: Case, seen: Weighed, publics: tuple[GatewayPublics, ...], now_ms: int
) -> Weighed:
    """A passed appraisal: the result stands, and a device that nobody holds back gets certificates
    for as long.
    """
    judged = seen.judged
    assert judged is not None  # noqa: S101 - weigh() gives it
    result, loaded, device = judged.result, judged.loaded, seen.device
    evidence_sha256 = result.evidence_digest
    edge = Edge.PROVED_UNPINNED if case.unpinned and device.state == State.INVITED else Edge.PROVED
    state = step(device.state, edge)
    spki = sha256(result.tls_spki)
    before = device.certificate_expires_ms
    proved = replace(
        device,
        standing=Standing(
            result_id=seen.result_id,
            result_ms=now_ms,
            expires_ms=now_ms + fleet.timing.result_life_ms,
            evidence_sha256=evidence_sha256,
            profile=loaded.label,
            profile_sha256=loaded.sha256,
        ),
        baseline=Baseline(
            clock=result.clock,
            boot_log_sha256=sha256(judged.evidence.boot_log_bytes),
            ima=result.ima_prefix,
            ima_profile_sha256=loaded.sha256,
        ),
        tls=TlsKey(public=case.expected.tls.raw, spki_sha256=spki, certificate_expires_ms=before),
    )
    if state != State.TRUSTED:
        return replace(
            seen,
            device=proved,
            edge=edge,
            answer=replace(seen.answer, state=state, failures=(held_back(device, state),)),
        )
    life, at = timedelta(milliseconds=fleet.timing.result_life_ms), from_ms(now_ms)
    identifier = DeviceId(device.id)
    certificate = issue_device(fleet.keys, identifier, result, life, at)
    ends = int(certificate.not_valid_after_utc.timestamp() * 1000)
    raws = judged.evidence.gateway_publics
    warrants = tuple(
        GatewayWarrant(sha256(raw), *_certified(fleet, device, p, life, at))
        for raw, p in zip(raws, publics, strict=True)
    )
    processes = tuple(
        GatewayProcess(
            publics_sha256=sha256(raw), host=identifier, publics=raw, result_id=seen.result_id
        )
        for raw in raws
    )
    return replace(
        seen,
        device=replace(
            proved,
            tls=TlsKey(public=case.expected.tls.raw, spki_sha256=spki, certificate_expires_ms=ends),
        ),
        edge=edge,
        after=(
            Attested(
                device=device.id,
                result=seen.result_id,
                evidence_sha256=evidence_sha256,
                profile=loaded.label,
            ),
        ),
        processes=processes,
        answer=Answer(
            identifier, device.zone, State.TRUSTED, (), certificate, seen.result_id, warrants
        ),
    )


def _certified(
    fleet: Fleet, host: Device, publics: GatewayPublics, life: timedelta, at: datetime
) -> tuple[x509.Certificate, x509.Certificate]:
    """TLS and signing certificate of a process on `host`, for what the host is enrolled as."""
    identifier = DeviceId(host.id)
    if host.kind == Kind.BACKEND:
        form = form_of(host.tpm.endorsement if host.tpm is not None else "")
        return issue_backend(fleet.keys, identifier, publics, form, life, at)
    return issue_gateway(fleet.keys, identifier, publics, life, at)


def _publics(device: Device, raws: tuple[bytes, ...]) -> tuple[GatewayPublics, ...]:
    """The processes that evidence vouches for, after: 1. its device hosts gateways or a backend;
    2. each process is named once, and every key of all of them is another (`process_keys`).

    Raises Malformed, EvidenceRejected (PUBLICS).
    """
    if raws and device.kind not in {Kind.GATEWAY, Kind.BACKEND}:  # 1
        hint = "enrol the host with: framegate gateway invite, or backend invite"
        raise EvidenceRejected(
            [Failure(Reason.PUBLICS, f"no gateway keys from a {device.kind}", f"{len(raws)}", hint)]
        )
    publics = tuple(GatewayPublics.parse(raw) for raw in raws)
    keys = [spki_of(key) for each in publics for key in process_keys(each)]
    if len(set(keys)) != len(keys):  # 2
        raise one_key_twice()
    return publics


def _posture_told(device: Device, raw: bytes) -> tuple[Event, ...]:
    """What changed on the machine since it last reported: its own word, told because people want to
    know, not because it is proof.
    """
    if not device.shown.posture:
        return ()
    try:
        changes = posture_changes(parse_posture(device.shown.posture.encode()), parse_posture(raw))
    except FramegateError:
        return ()  # the appraisal says what is wrong with it
    return (PostureChanged(device=device.id, changes=tuple(changes)),) if changes else ()


def _shown(judged: Judgement, noticed: Noticed | None, now_ms: int) -> Shown:
    result = judged.result
    return Shown(
        firmware_version=f"{result.firmware_version:016x}",
        pcrs=MappingProxyType({str(p): v.hex() for p, v in judged.evidence.pcrs.items()}),
        posture=posture_text(judged.evidence.posture),
        vector=MappingProxyType(dict(result.vector)),
        findings=(*result.findings, *(noticed.findings if noticed is not None else ())),
        failures=result.failures,
        failures_ms=now_ms if result.failures else 0,
    )


def _kept(fleet: Fleet, case: Case, seen: Weighed, judged: Judgement, now_ms: int) -> KeptEvidence:
    proved = Proved(
        device=case.device.id,
        expected=case.expected,
        evidence=judged.evidence,
        result=judged.result,
        label=judged.loaded.label,
        raw=case.evidence,
        ear=_ear(fleet, seen, judged, now_ms),
    )
    return kept_evidence(proved, now_ms)


def _ear(fleet: Fleet, seen: Weighed, judged: Judgement, now_ms: int) -> str:
    """The result as an EAR that anybody with the fleet's root can check."""
    result, device = judged.result, seen.device
    tpm = device.tpm
    claims = ear_claims(
        device=device.id,
        result_id=seen.result_id,
        vector=dict(result.vector),
        profile=judged.loaded.label,
        profile_sha256=judged.loaded.sha256,
        evidence_sha256=result.evidence_digest,
        failures=[f.as_dict() for f in result.failures],
        findings=[f.as_dict() for f in device.shown.findings],
        tpm={
            "firmware": f"{result.firmware_version:016x}",
            "manufacturer": f"{tpm.manufacturer if tpm else 0:08x}",
            "ak-name": tpm.ak_name.hex() if tpm else "",
            "ek-sha256": tpm.ek_sha256.hex() if tpm else "",
            "endorsement": tpm.endorsement if tpm else "",
            "reset-count": result.clock.reset_count,
            "restart-count": result.clock.restart_count,
        },
        controller=fleet.controller,
        build=VERSION,
        issued_at_s=now_ms // 1000,
        expires_at_s=(now_ms + fleet.timing.result_life_ms) // 1000,
    )
    return sign_ear(claims, fleet.keys.signing["result"])
