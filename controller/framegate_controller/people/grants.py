"""Grants: what lets a camera seal frames for the gateway processes of its zone, for a while."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framegate.errors import Failure, Reason, Refused
from framegate.identity.certificates import request_key, spki_of
from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import CameraMasks, Device, GatewayProcess
from framegate.signed.statement import Grant
from framegate.wire import NO_MODEL, GatewayPublics, sha256
from framegate_controller.context import Fleet
from framegate_controller.fleet.facts import facts_of
from framegate_controller.inspection.models import unapproved
from framegate_controller.people.inspection_policy import may_inspect
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.policies import PolicyCache
from framegate_controller.timing import GRANT_TTL_S

IDLE_TTL_S: Final = 20
"""Of a grant under which nothing is inspected: its camera asks again when the pin may have
changed.
"""
MAX_POLICY_WORDS: Final = 200
"""Characters in which a grant names the policy and the rules that allowed it."""


@dataclass(frozen=True, slots=True)
class AskedGrants:
    """What a camera asks with: a nonce of its own, and whether grants are to name profiles."""

    nonce: bytes
    with_profiles: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """Signed grants and masks for a camera; where there are no grants, why."""

    grants: tuple[bytes, ...]
    failures: tuple[Failure, ...]
    masks: bytes


def compose_grants(
    tx: Transaction, fleet: Fleet, policies: PolicyCache, camera: DeviceId, asked: AskedGrants
) -> Granted:
    """Grants for `camera` that answer its nonce, one for each gateway process it may use.

    1. it is a camera, and trusted now; 2. the process's host in its zone is trusted now; 3. the
    process runs a model that may be in force there; 4. the access policy lets this camera use it;
    5. a grant lives no longer than either result. Where no process passes 3, those that say that
    they run none (`NO_MODEL`) get short ones, after 4 as well: the camera's frames are then
    UNINSPECTED, with a reason, and not unheard. Raises Refused (WRONG_ROLE, POLICY_INVALID).
    """
    device = tx.devices.get(camera)
    if device is not None and device.kind != Kind.CAMERA:  # 1
        raise Refused.of(Reason.WRONG_ROLE, "a camera", device.id)
    if device is None or not _trusted(device, tx.now_ms):
        state, name = (device.state, device.name) if device is not None else ("unknown", camera)
        hint = f"framegate camera why {name}"
        return Granted((), (Failure(Reason.NOT_TRUSTED, "a trusted camera", state, hint),), b"")
    masks = tx.masks.get(camera)
    pairs = [(p, h) for p, h in tx.gateways.of_zone(device.zone) if _trusted(h, tx.now_ms)]  # 2
    composer = _Composer(tx, fleet, policies, device, asked, masks)
    grants = tuple(composer.grants(pairs)) or tuple(composer.idle(pairs))
    failures: tuple[Failure, ...] = composer.refused
    if not pairs:
        expected = f"a trusted gateway in zone {device.zone}"
        failures = (Failure(Reason.NO_GRANT, expected, "none", "framegate gateway list"),)
    return Granted(grants, () if grants else failures, masks.envelope if masks is not None else b"")


def _trusted(device: Device, now_ms: int) -> bool:
    return device.state == State.TRUSTED and device.standing.expires_ms > now_ms


@dataclass(slots=True)
class _Composer:
    """Grants for one camera; `refused` is why the last process that it may not use is none."""

    tx: Transaction
    fleet: Fleet
    policies: PolicyCache
    camera: Device
    asked: AskedGrants
    masks: CameraMasks | None
    refused: tuple[Failure, ...] = ()

    def grants(self, pairs: list[tuple[GatewayProcess, Device]]) -> Iterator[bytes]:
        """Signed ones."""
        signer = self.fleet.keys.signing["grant"]
        for process, host in pairs:
            publics = GatewayPublics.parse(process.publics)
            if publics.model_digest == NO_MODEL:
                continue
            model = publics.model_digest.hex()
            unfit = unapproved(self.tx, host.zone, model)  # 3
            if unfit is not None:
                self.refused = (unfit,)
                continue
            policy = self._policy(host.zone, model)
            grant = self._grant(process, host, policy, GRANT_TTL_S)
            if grant is not None:
                yield grant.seal(signer.der, signer.sign)

    def idle(self, pairs: list[tuple[GatewayProcess, Device]]) -> Iterator[bytes]:
        """Signed ones for processes that inspect nothing, and say so."""
        signer = self.fleet.keys.signing["grant"]
        for process, host in pairs:
            if GatewayPublics.parse(process.publics).model_digest == NO_MODEL:
                policy = self._policy(host.zone, NO_MODEL.hex())
                grant = self._grant(process, host, policy, IDLE_TTL_S)
                if grant is not None:
                    yield grant.seal(signer.der, signer.sign)

    def _grant(
        self, process: GatewayProcess, host: Device, policy: str | None, most_s: int
    ) -> Grant | None:
        publics = GatewayPublics.parse(process.publics)
        ends_ms = min(host.standing.expires_ms, self.camera.standing.expires_ms)
        ttl = min(most_s, (ends_ms - self.tx.now_ms) // 1000)  # 5
        if policy is None or ttl < 1:
            return None
        masks = self.masks
        profile = host.standing.profile_sha256.hex() if self.asked.with_profiles else ""
        return Grant(
            grant_id=secrets.token_hex(16),
            camera=self.camera.id,
            nonce=self.asked.nonce.hex(),
            issued_at_ms=self.tx.now_ms,
            ttl_s=ttl,
            host=host.id,
            result_id=host.standing.result_id,
            zone=self.camera.zone,
            publics_sha256=sha256(process.publics).hex(),
            tls_spki_sha256=sha256(spki_of(request_key(publics.tls_csr))).hex(),
            hpke_kem=publics.hpke_kem,
            hpke_public=publics.hpke_public.hex(),
            address=publics.address,
            model_sha256=publics.model_digest.hex(),
            policy=policy,
            mask_version=masks.version if masks is not None else 0,
            mask_sha256=masks.sha256.hex() if masks is not None else "",
            profile_sha256=profile,
        )

    def _policy(self, zone: str, model: str) -> str | None:
        """What allows this model in `zone`, in words; None where it is refused, with why."""
        facts = facts_of(self.camera, self.tx.now_ms)
        decision, policy = may_inspect(  # 4
            self.tx, self.policies, self.fleet.keys, facts, self.camera.id, model, zone
        )
        if decision.failure is not None:
            self.refused = (decision.failure,)
            return None
        return f"{policy.label} {','.join(decision.policies)}"[:MAX_POLICY_WORDS]
