"""Rows of the operator's port: playbooks, and what else is done in an emergency."""

from __future__ import annotations

from typing import Any, Final

from framegate.playbooks.run import Run
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc, StreamRpc
from framegate_controller.verbs.playbooks import (
    DisablePlaybook,
    EnablePlaybook,
    ListPlaybooks,
    PlaybookHistory,
    PlaybookView,
    ShownStep,
    SimulatePlaybook,
)
from framegate_controller.verbs.responses import (
    EndedSessions,
    EndSessions,
    KeepEvidence,
    KeptForGood,
)
from framegate_proto.v1 import framegate_pb2 as pb


def _playbook(view: PlaybookView, _fleet: Fleet) -> pb.PlaybookRow:
    enabled = view.enabled
    return pb.PlaybookRow(
        name=enabled.name,
        revision=enabled.revision,
        mode=enabled.mode,
        ended=enabled.ended,
        enabled_by=view.statement.enabled_by,
        enabled_ms=enabled.enabled_ms,
        approvers=view.statement.approvers,
        standing=view.standing,
        quorum=view.quorum,
        text=view.statement.text,
        sha256=enabled.sha256,
        envelope=enabled.envelope,
        note=enabled.note,
    )


def _playbooks(views: list[PlaybookView], fleet: Fleet) -> pb.PlaybooksReply:
    return pb.PlaybooksReply(rows=[_playbook(v, fleet) for v in views])


def _step(shown: ShownStep) -> pb.PlaybookStepRow:
    step = shown.step
    return pb.PlaybookStepRow(
        playbook=step.playbook,
        revision=step.revision,
        trigger=step.trigger,
        number=step.number,
        action=step.action,
        target=step.target,
        event=step.event,
        state=step.state,
        at_ms=step.at_ms,
        ended_ms=step.ended_ms,
        request=step.request,
        why=step.why,
        undo=shown.undo,
    )


def _history(steps: list[ShownStep], _fleet: Fleet) -> pb.PlaybookHistoryReply:
    return pb.PlaybookHistoryReply(rows=[_step(s) for s in steps])


def _run(run: Run) -> pb.PlaybookRun:
    return pb.PlaybookRun(
        trigger=run.trigger,
        at_ms=run.at_ms,
        event=run.event,
        subject=run.subject,
        zone=run.zone,
        verdict=run.verdict,
        why=run.why,
        actions=[s.action.value for s in run.steps],
    )


def _ended(ended: EndedSessions, _fleet: Fleet) -> pb.EndSessionsReply:
    return pb.EndSessionsReply(name=ended.operator, sessions=ended.sessions)


def _kept(kept: KeptForGood, _fleet: Fleet) -> pb.KeepEvidenceReply:
    return pb.KeepEvidenceReply(device=kept.device, evidence=kept.evidence)


ROWS: Final[tuple[Rpc[Any, Any, Any] | StreamRpc[Any, Any, Any, Any], ...]] = (
    Rpc("ListPlaybooks", ListPlaybooks.parse, _playbooks),
    Rpc("PlaybookHistory", PlaybookHistory.parse, _history),
    Rpc("EnablePlaybook", EnablePlaybook.parse, _playbook),
    Rpc("DisablePlaybook", DisablePlaybook.parse, _playbook),
    StreamRpc("SimulatePlaybook", SimulatePlaybook.parse, _run),
    Rpc("EndSessions", EndSessions.parse, _ended),
    Rpc("KeepEvidence", KeepEvidence.parse, _kept),
)
