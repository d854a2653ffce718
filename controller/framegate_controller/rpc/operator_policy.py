"""The operator's calls about the access policy and the audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.access.policy import PolicySet, Request, parse_policy
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate_controller.people.authority import Aim, Allowed, Caller
from framegate_controller.people.policies import apply_policy, current_row
from framegate_controller.record.ledger import checkpoint, prove, prove_growth
from framegate_controller.rpc.calls import OperatorCalls
from framegate_controller.rpc.wire import Context, guarded, guarded_stream
from framegate_controller.store.tables import DecisionRow, LogEntry, LogHead, PolicyRow
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb

CHUNK = 500
"""Rows of one transaction while a log is read out: others write in between."""
MAX_HEADS = 10_000


class PolicyCalls(OperatorCalls):
    """Mixed into the operator's service."""

    @guarded
    async def ShowPolicy(self, request: pb.PolicyRequest, context: Context) -> pb.PolicyReply:
        """A version, by default the one in force, as it was signed."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.PolicyReply:
            row = session.get(PolicyRow, request.version) if request.version else current_row(session)
            if row is None:
                raise Refused.of(Reason.NOT_FOUND, "a version of the access policy", request.version, "framegate policy history")
            return _policy(row)

        return await self._do(context, request, Aim("policy.show"), work)

    @guarded
    async def PolicyHistory(self, request: pb.ListRequest, context: Context) -> pb.PolicyHistoryReply:
        """Every version that was in force, newest first."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.PolicyHistoryReply:
            rows = session.scalars(select(PolicyRow).order_by(PolicyRow.version.desc()).limit(200)).all()
            return pb.PolicyHistoryReply(versions=[_policy(r) for r in rows])

        return await self._do(context, request, Aim("policy.show"), work)

    @guarded
    async def ApplyPolicy(self, request: pb.ApplyPolicyRequest, context: Context) -> pb.PolicyReply:
        """Put a policy in force, here and at every gateway."""
        self._peer(context)
        files = _files(request.files)
        made = parse_policy(files)  # before anybody is asked to approve it

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.PolicyReply:
            row = apply_policy(session, self._verifier.keys, files, base=request.base, note=request.note, actor=caller.actor, now_ms=self._now())
            return _policy(row)

        async def after(_row: pb.PolicyReply) -> None:
            await self._hub.access_changed(grants=True)

        words = f"access policy {made.sha256.hex()[:16]} in place of version {request.base}: {request.note[:300]}"
        return await self._do(context, request, Aim("policy.apply", target=made.sha256.hex()[:16], summary=words), work, after)

    @guarded_stream
    async def SimulatePolicy(self, request: pb.SimulateRequest, context: Context) -> AsyncIterator[pb.SimulateRow]:
        """Recorded decisions since a time, decided again by another policy; changes nothing."""
        self._peer(context)
        policy = parse_policy(_files(request.files))

        def which(session: Session, _allowed: Allowed, _caller: Caller) -> list[Any]:
            columns = (DecisionRow.request, DecisionRow.count, DecisionRow.last_ms, DecisionRow.allow, DecisionRow.policies)  # values: they outlive the transaction
            return list(session.execute(select(*columns).where(DecisionRow.last_ms >= request.since_ms).order_by(DecisionRow.last_ms)).all())

        for row in await self._do(context, request, Aim("policy.simulate", target=policy.sha256.hex()[:16]), which):
            yield await asyncio.to_thread(_simulated, row, policy)

    @guarded_stream
    async def ReadLog(self, request: pb.ReadLogRequest, context: Context) -> AsyncIterator[pb.LogRow]:
        """Entries of the log as they were logged, in order, or the newest first."""

        def first(session: Session, _allowed: Allowed, _caller: Caller) -> int:
            return int(session.info["tx"].log.size())

        size = await self._do(context, request, Aim("audit.read"), first)
        left, at = request.limit or size, (size if request.newest_first else request.first)

        def chunk(at: int, most: int) -> list[tuple[int, bytes]]:
            with self._verifier.database.transaction() as session:
                query = select(LogEntry.id, LogEntry.entry)
                for column, wanted in ((LogEntry.device, request.device), (LogEntry.event, request.event), (LogEntry.actor, request.actor)):
                    if wanted:
                        query = query.where(column == wanted)
                if request.since_ms:
                    query = query.where(LogEntry.at_ms >= request.since_ms)
                query = (
                    query.where(LogEntry.id < at).order_by(LogEntry.id.desc()) if request.newest_first else query.where(LogEntry.id >= at, LogEntry.id < size).order_by(LogEntry.id)
                )
                return [(i, e) for i, e in session.execute(query.limit(most)).all()]

        while left > 0:
            rows = await asyncio.to_thread(chunk, at, min(CHUNK, left))
            if not rows:
                return
            for index, entry in rows:
                yield pb.LogRow(index=index, entry=entry)
            left -= len(rows)
            at = rows[-1][0] if request.newest_first else rows[-1][0] + 1

    @guarded
    async def LogHead(self, request: pb.LogHeadRequest, context: Context) -> pb.LogHeadReply:
        """The signed head of the log as it stands; with `all`, the earlier ones that are kept too."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.LogHeadReply:
            head = checkpoint(session.info["tx"], self._verifier.keys)
            size = session.info["tx"].log.size()
            earlier = session.scalars(select(LogHead.envelope).where(LogHead.size < size).order_by(LogHead.size.desc()).limit(MAX_HEADS)).all() if request.all else []
            return pb.LogHeadReply(checkpoint=head, earlier=list(reversed(earlier)), size=size, fleet=self._verifier.keys.fleet)

        return await self._do(context, request, Aim("audit.read"), work)

    @guarded
    async def ProveLog(self, request: pb.ProveLogRequest, context: Context) -> pb.ProveLogReply:
        """That an entry is in the log, and that the log only grew since a size."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.ProveLogReply:
            size = session.info["tx"].log.size()
            try:
                made = prove(session.info["tx"], self._verifier.keys, request.index)
                growth = prove_growth(session.info["tx"], request.from_size, size) if request.from_size else []
            except (KeyError, ValueError) as error:
                raise Refused.of(Reason.NOT_FOUND, f"an entry and a size below {size}", f"{request.index}, {request.from_size}", "framegate audit list") from error
            return pb.ProveLogReply(entry=made.entry, index=made.index, path=made.path, checkpoint=made.checkpoint, growth=growth)

        return await self._do(context, request, Aim("audit.read", target=f"entry {request.index}"), work)


def _policy(row: PolicyRow) -> pb.PolicyReply:
    return pb.PolicyReply(version=row.version, envelope=row.envelope, sha256=row.sha256, applied_by=row.applied_by, applied_ms=row.applied_ms, note=row.note)


def _files(files: Iterable[Any]) -> dict[str, str]:
    found = {f.name: f.text for f in files}
    if not found:
        raise Malformed.of(Reason.USAGE, "files of a policy", "none")
    return found


def _simulated(row: Any, policy: PolicySet) -> pb.SimulateRow:
    request = Request.parse(row.request)
    answer = pb.SimulateRow(
        principal=request.principal[1], action=request.action, resource=f"{request.resource[0]} {request.resource[1][:16]}", count=row.count, last_ms=row.last_ms,
        was=row.allow, was_policies=json.loads(row.policies), request=row.request,
    )  # fmt: skip
    try:
        decision = policy.decide(request)
    except FramegateError as error:
        answer.failures.extend(to_failures(error.failures))
        return answer
    answer.would = decision.allow
    answer.would_policies.extend(decision.policies)
    if decision.failure is not None:
        answer.failures.extend(to_failures((decision.failure,)))
    return answer
