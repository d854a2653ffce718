"""Write what was weighed: one short transaction, in which the challenge is spent and the device
must still be what it was.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.evidence.challenge import ChallengeState
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State, step
from framegate.record.machine_events import DeviceMoved
from framegate.registry.evidence import KeptResult
from framegate.wire import Evidence
from framegate_controller.fleet.evidence import store_evidence
from framegate_controller.fleet.weigh import Case, Weighed
from framegate_controller.store.ports import Transaction


def commit(tx: Transaction, opened: ChallengeState, case: Case, weighed: Weighed) -> None:
    """Put what evidence led to into the store.

    1. its challenge was not answered before, at whatever controller;
    2. the device's row is what it was when it was looked at (compare and set);
    3. then result, evidence and the gateway processes it vouches for, and what happened. Raises
       Refused (SESSION_UNKNOWN), Moved: nothing is written.
    """
    tx.challenges.spend(opened.session, opened.expires_ms)  # 1
    device = weighed.device
    after = step(device.state, weighed.edge) if weighed.edge is not None else device.state
    moved = after != device.state
    tx.devices.put(
        replace(device, state=after, since_ms=tx.now_ms if moved else device.since_ms)
    )  # 2
    _keep(tx, case, weighed)  # 3
    if weighed.processes is not None and device.kind == Kind.GATEWAY:
        tx.gateways.replace(device.id, weighed.processes)
    for event in weighed.told:
        tx.record(event, by=device.id)
    if weighed.noticed is not None and case.rollout is not None:
        case.rollout.note(tx, weighed.noticed)
    if moved or (after == State.TRUSTED and weighed.answer.certificate is not None):
        tx.raise_revision()
    if moved and weighed.edge is not None:
        told = DeviceMoved(
            device=device.id, edge=weighed.edge, before=device.state, after=after, why=weighed.why
        )
        tx.record(told, by=device.id)
    for event in weighed.after:
        tx.record(event, by=device.id)


def expect(tx: Transaction, weighed: Weighed) -> None:
    """What `commit` of it is to ask for in this transaction is known: of several, before the first
    of them, it may be asked for together.
    """
    kept = weighed.kept
    if weighed.judged is not None and kept is not None:
        tx.evidence.expect_again(kept.device, kept.content_sha256, kept.ear, tx.now_ms)


def _keep(tx: Transaction, case: Case, weighed: Weighed) -> None:
    """Evidence that verified, with its signed result; only an affirming one has a result that
    receipts can name.
    """
    judged, kept, device = weighed.judged, weighed.kept, weighed.device
    if judged is None or kept is None:
        return
    evidence_id = store_evidence(tx, kept, judged.evidence)
    if not judged.result.affirming:
        return
    parts = Evidence.parse(case.evidence)
    tx.evidence.add_result(
        KeptResult(
            id=weighed.result_id,
            device=device.id,
            at_ms=tx.now_ms,
            evidence_sha256=judged.result.evidence_digest,
            quote=parts.quote_attest,
            signature=parts.quote_signature,
            ak_public=device.tpm.ak_public if device.tpm is not None else b"",
            profile=judged.loaded.label,
            profile_sha256=judged.loaded.sha256,
            evidence=evidence_id,
            ear=kept.ear,
        )
    )
