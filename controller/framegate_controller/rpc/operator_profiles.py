"""The operator's calls about firmware profiles, rollouts and stored evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import verify_evidence
from framegate.identity.certificates import Purpose, from_ms, load_certificate, verify_certificate
from framegate.ima.allowlist import Allowlist, parse_allowlist
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Plan
from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.signed.dsse import parse_envelope
from framegate_controller.fleet.profiles import import_profile, load_revision, signer_digest
from framegate_controller.fleet.rollouts import as_rollout, change_rollout, start_rollout
from framegate_controller.people.authority import Aim, Allowed, Caller
from framegate_controller.rpc.calls import MAX_REASON, OperatorCalls
from framegate_controller.rpc.wire import Context, guarded, guarded_stream
from framegate_controller.store.evidence import add_allowlist, ima_list, load_allowlists, stored_expectation
from framegate_controller.store.registry import change_state, find_device, record
from framegate_controller.store.tables import Device, EvidenceRow, Profile, ProfileRevision, RevokedSigner, RolloutDevice, RolloutRow
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROLLOUTS: Final = 50
MAX_WAVES: Final = 20


class ProfileCalls(OperatorCalls):
    """Mixed into the operator's service."""

    @guarded
    async def ImportProfile(self, request: pb.ImportProfileRequest, context: Context) -> pb.ProfileRow:
        """Keep a signed profile and its allowlists; in force at once unless it waits for a rollout."""
        self._peer(context)
        claimed = parse_profile(parse_envelope(request.envelope, PROFILE_TYPE).payload)  # for words alone: what is kept is what verifies
        words = f"firmware profile {claimed.name} {claimed.version} revision {claimed.revision}{'' if request.for_rollout else ', in force at once'}"

        def work(session: Session, _allowed: Allowed, caller: Caller) -> tuple[pb.ProfileRow, list[str]]:
            now = self._now()
            for content in request.allowlists:
                add_allowlist(session, content, now)
            session.flush()
            loaded = import_profile(session, self._verifier.keys, request.envelope, caller.actor, now, in_force=not request.for_rollout)
            session.flush()
            again = [] if request.for_rollout else self._reconsider(session, loaded.profile, caller.actor, now)
            row = session.get(ProfileRevision, (loaded.profile.name, loaded.profile.revision))
            return (_row(session, row) if row is not None else pb.ProfileRow()), again

        async def after(done: tuple[pb.ProfileRow, list[str]]) -> None:
            for device in done[1]:
                await self._hub.changed(device)
                self._hub.tell(device, pb.WatchEvent(kind=pb.WatchEvent.ATTEST_NOW))

        return (await self._do(context, request, Aim("profile.import", target=claimed.name, summary=words), work, after))[0]

    def _reconsider(self, session: Session, profile: FirmwareProfile, actor: str, now: int) -> list[str]:
        """Suspects of this profile whose stored evidence the new revision affirms may prove themselves again: a fresh quote must pass too."""
        freed = []
        for device in session.scalars(select(Device).where(Device.profile == profile.name, Device.state == State.SUSPECT)).all():
            row = session.scalars(select(EvidenceRow).where(EvidenceRow.device == device.id).order_by(EvidenceRow.last_ms.desc()).limit(1)).one_or_none()
            if row is None or row.affirming or row.last_ms < device.failures_ms:
                continue  # what made it suspect was no evidence that verified
            if any(f[0] == Reason.COUNTERS for f in json.loads(row.failures)):
                continue  # a cleared or rolled back TPM is no question of profiles: an operator decides
            if _again(session, row, profile, {}).would:
                change_state(session, device, Edge.RECONSIDERED, actor, now, f"stored evidence passes revision {profile.revision}")
                freed.append(device.id)
        return freed

    @guarded
    async def ListProfiles(self, request: pb.ListRequest, context: Context) -> pb.ProfilesReply:
        """Every revision kept, newest first within a name."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.ProfilesReply:
            rows = session.scalars(select(ProfileRevision).order_by(ProfileRevision.name, ProfileRevision.revision.desc())).all()
            found = [_row(session, r) for r in rows]
            for row in found:
                try:
                    load_revision(session, self._verifier.keys, row.name, row.revision)
                except FramegateError as error:
                    row.problem = str(error.failures[0])
            return pb.ProfilesReply(profiles=found)

        return await self._do(context, request, Aim("profile.show"), work)

    @guarded
    async def ShowProfile(self, request: pb.ProfileRequest, context: Context) -> pb.ProfileReply:
        """One revision, by default the one in force."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.ProfileReply:
            current = session.get(Profile, request.name)
            revision = request.revision or (current.revision if current else 0)
            row = session.get(ProfileRevision, (request.name, revision))
            if row is None:
                raise Refused.of(Reason.NOT_FOUND, "a firmware profile and revision", f"{request.name[:63]!a} {request.revision}", "framegate profile list")
            loaded = load_revision(session, self._verifier.keys, row.name, row.revision)
            return pb.ProfileReply(row=_row(session, row), toml=loaded.toml, envelope=row.envelope)

        return await self._do(context, request, Aim("profile.show"), work)

    @guarded
    async def RevokeSigner(self, request: pb.RevokeSignerRequest, context: Context) -> pb.ProfileSigner:
        """A profile signer's word counts no more, for what is signed already too."""
        self._peer(context)
        now, keys = self._now(), self._verifier.keys
        certificate = load_certificate(request.certificate)
        signer = verify_certificate(
            certificate, Purpose.PROFILE, (), keys.root.certificate, max(certificate.not_valid_before_utc, min(from_ms(now), certificate.not_valid_after_utc))
        )

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ProfileSigner:
            row = session.get(RevokedSigner, signer_digest(signer))
            if row is None:
                row = RevokedSigner(sha256=signer_digest(signer), subject=signer.common_name, at_ms=now, reason=request.reason[:MAX_REASON] or "no reason given")
                session.add(row)
                record(session, now, "", "profile-signer-revoked", caller.actor, f"{signer.common_name}: {row.reason}")
            return pb.ProfileSigner(subject=row.subject, at_ms=row.at_ms, reason=row.reason)

        return await self._do(context, request, Aim("signer.revoke", target=signer.common_name, summary=f"revoke the profile signer {signer.common_name}"), work)

    @guarded
    async def Observe(self, request: pb.DeviceRequest, context: Context) -> pb.Observation:
        """What a device last showed in evidence that verified: boot log, whole IMA list, posture."""

        def aim(session: Session) -> Aim:
            device = find_device(session, request.device)
            return Aim("device.observe", device.zone, device.id)

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.Observation:
            device = find_device(session, request.device)
            row = session.scalars(select(EvidenceRow).where(EvidenceRow.device == device.id).order_by(EvidenceRow.last_ms.desc()).limit(1)).one_or_none()
            if row is None:
                raise Refused.of(Reason.NOT_FOUND, f"evidence of {device.id} that verified", "none kept", f"framegate {device.kind} attest-now {device.name}")
            _, expected = stored_expectation(session, row, frozenset(), {})
            ima = ima_list(session, device.id, row.reset_count, row.restart_count, row.ima_entries) if row.ima_entries else b""
            quirks = [f[2] for f in json.loads(device.findings) if f[0] == Reason.QUIRK]
            return pb.Observation(
                device=device.id, state=device.state, profile=device.profile, boot_log=expected.stored_boot_log, ima=ima, posture=device.posture,
                tpm_firmware=device.firmware_version, quirks=quirks, at_ms=row.last_ms, pcrs=json.loads(row.pcrs),
            )  # fmt: skip

        return await self._do(context, request, aim, work)

    @guarded
    async def StartRollout(self, request: pb.StartRolloutRequest, context: Context) -> pb.RolloutStatus:
        """Bring the newest imported revision to its devices, step by step."""
        self._peer(context)
        if len(request.waves) > MAX_WAVES:
            raise Malformed.of(Reason.USAGE, f"at most {MAX_WAVES} waves", len(request.waves))
        plan = Plan(request.canary, tuple(request.waves), request.max_fail, request.soak_s, request.shadow)

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.RolloutStatus:
            row = start_rollout(session, self._verifier.keys, request.profile, plan, caller.actor, self._now())
            session.flush()
            return _status(session, row)

        return await self._do(context, request, Aim("rollout.change", target=request.profile[:63], summary=f"roll out {request.profile[:63]}"), work)

    @guarded
    async def ChangeRollout(self, request: pb.ChangeRolloutRequest, context: Context) -> pb.RolloutStatus:
        """Pause, resume, abort, retire."""

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.RolloutStatus:
            row = _find_rollout(session, request.rollout)
            change_rollout(session, row, request.verb[:20], caller.actor, self._now())
            session.flush()
            return _status(session, row)

        return await self._do(context, request, Aim("rollout.change", target=request.rollout[:16], summary=f"{request.verb[:20]} rollout {request.rollout[:16]}"), work)

    @guarded
    async def ShowRollouts(self, request: pb.RolloutRequest, context: Context) -> pb.RolloutsReply:
        """One rollout with its devices, or the latest ones without; devices as far as the caller sees their zones."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.RolloutsReply:
            if request.rollout:
                rows: Sequence[RolloutRow] = [_find_rollout(session, request.rollout)]
            else:
                rows = session.scalars(select(RolloutRow).order_by(RolloutRow.started_ms.desc()).limit(MAX_ROLLOUTS)).all()
            found = [_status(session, r) for r in rows]
            for status in found:
                seen = [d for d in status.devices if allowed.sees(d.device.split(".")[1])]
                del status.devices[:]
                status.devices.extend(seen)
            return pb.RolloutsReply(rollouts=found)

        return await self._do(context, request, Aim("rollout.show"), work)

    @guarded_stream
    async def Replay(self, request: pb.ReplayRequest, context: Context) -> AsyncIterator[pb.ReplayRow]:
        """Verify stored evidence again and appraise it by the given profile; writes nothing but that it was done."""
        self._peer(context)
        profile = parse_profile(request.toml)
        given = {a.digest: a for a in map(parse_allowlist, request.allowlists)}

        def which(session: Session, allowed: Allowed, _caller: Caller) -> list[str]:
            query = select(EvidenceRow.id, Device.zone).join(Device, Device.id == EvidenceRow.device).where(EvidenceRow.last_ms >= request.since_ms)
            query = query.where(Device.id == find_device(session, request.device).id) if request.device else query.where(Device.profile == profile.name)
            return [i for i, zone in session.execute(query.order_by(EvidenceRow.device, EvidenceRow.first_ms)).all() if allowed.sees(zone)]

        def one(identifier: str) -> pb.ReplayRow | None:
            with self._verifier.database.transaction() as session:
                row = session.get(EvidenceRow, identifier)
                return _again(session, row, profile, given) if row is not None else None

        for identifier in await self._do(context, request, Aim("evidence.replay", target=profile.name), which):
            answer = await asyncio.to_thread(one, identifier)
            if answer is not None:
                yield answer


def _again(session: Session, row: EvidenceRow, profile: FirmwareProfile, given: dict[bytes, Allowlist]) -> pb.ReplayRow:
    answer = pb.ReplayRow(device=row.device, evidence=row.id, first_ms=row.first_ms, last_ms=row.last_ms, count=row.count, was=row.affirming, was_profile=row.profile)
    try:
        proof, expected = stored_expectation(session, row, profile.quirks, dict(profile.pinned))
        evidence = verify_evidence(proof, expected)
        allowlists = {**load_allowlists(session, profile.ima.allowlists if profile.ima else ()), **given}
        result = appraise(evidence, profile, None, allowlists)
    except FramegateError as error:
        answer.problem = str(error.failures[0])
        return answer
    answer.would = result.affirming
    answer.failures.extend(to_failures(result.failures))
    return answer


def _row(session: Session, row: ProfileRevision) -> pb.ProfileRow:
    current = session.get(Profile, row.name)
    devices = session.scalars(select(func.count()).select_from(Device).where(Device.profile == row.name, Device.state != State.RETIRED)).one()
    return pb.ProfileRow(
        name=row.name, version=row.version, revision=row.revision, sha256=row.sha256, signer=row.signer, added_ms=row.added_ms,
        in_force=bool(current and current.revision == row.revision), devices=devices,
    )  # fmt: skip


def _find_rollout(session: Session, text: str) -> RolloutRow:
    rows = session.scalars(select(RolloutRow).where(RolloutRow.id.startswith(text[:16], autoescape=True)).limit(2)).all() if text else []
    if len(rows) != 1:
        raise Refused.of(Reason.NOT_FOUND, "a rollout's id or unique prefix", ascii(text[:16]), "framegate rollout list")
    return rows[0]


def _status(session: Session, row: RolloutRow) -> pb.RolloutStatus:
    rollout = as_rollout(row)
    query = select(RolloutDevice, Device.state).join(Device, Device.id == RolloutDevice.device).where(RolloutDevice.rollout == row.id)
    devices = [
        pb.RolloutDeviceRow(device=d.device, step=rollout.plan.step_name(d.step), seen=d.seen, shadow=d.shadow, at_ms=d.at_ms, state=state)
        for d, state in session.execute(query.order_by(RolloutDevice.step, RolloutDevice.device)).all()
    ]
    return pb.RolloutStatus(
        rollout=row.id, profile=row.profile, from_revision=row.from_revision, to_revision=row.to_revision, state=row.state,
        step=rollout.plan.step_name(min(row.step, rollout.plan.steps - 1)), step_ms=row.step_ms, started_ms=row.started_ms, note=row.note, devices=devices,
        soak_s=rollout.plan.soak_s, max_fail=rollout.plan.max_fail,
    )  # fmt: skip
