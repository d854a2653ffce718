"""What every operator's call does before and after its own work: who, may they, in one transaction with the change and its entry in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session

from framegate.access.approvals import content_digest
from framegate.access.verbs import find_verb
from framegate.errors import Refused
from framegate.identity.certificates import Purpose
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.people.authority import READ_GROUPS, Aim, Allowed, Authority, Caller, Denied
from framegate_controller.people.operators import BREAK_GLASS, notices
from framegate_controller.rpc.hub import Hub
from framegate_controller.rpc.peer import verify_peer
from framegate_controller.rpc.wire import Context
from framegate_controller.store.registry import acting

R = TypeVar("R")
MAX_REASON: Final = 500
"""Characters of an operator's reason."""
REASON_KEY: Final = "framegate-reason-bin"
DRY_RUN_KEY: Final = "framegate-dry-run"
NOTICE_KEY: Final = "framegate-notice-bin"


class _DryRun(Exception):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class OperatorCalls:
    """Base of the operator service's parts."""

    _verifier: Verifier
    _hub: Hub
    _authority: Authority

    async def _do(
        self, context: Context, request: Any, aim: Callable[[Session], Aim] | Aim, work: Callable[[Session, Allowed, Caller], R],
        after: Callable[[R], Awaitable[None]] | None = None,
    ) -> R:  # fmt: skip
        """Do `work` as the caller, if the policy lets them do `aim`; its entries carry who, from where, on whose approval, why.

        1. the caller's session stands; 2. the policy allows exactly this content; 3. the work; 4. an entry, if the work left none. All in one
        transaction: a denial, an error, or a dry run leaves nothing of it. A denial is recorded by itself. `after` runs once it is committed.
        """
        reason, dry = asked_for(context)
        content_of = str(type(request).DESCRIPTOR.name)

        told: list[str] = []

        def run() -> R:
            with self._verifier.database.transaction() as session:
                caller = self._authority.caller(session, context)  # 1
                found = aim if isinstance(aim, Aim) else aim(session)
                content = content_digest(found.verb, content_of, request.SerializeToString(deterministic=True))
                allowed = self._authority.authorise(session, caller, found, content, reason or getattr(request, "reason", "")[:MAX_REASON])  # 2
                acting(session, allowed.act)
                result = work(session, allowed, caller)  # 3
                looks = READ_GROUPS & set(find_verb(found.verb).groups)
                told.extend(n for n in notices(session, self._now()) if not looks or n.startswith(BREAK_GLASS))
                self._authority.note_allowed(session, caller, found, allowed.act)  # 4
                if dry:
                    session.flush()
                    raise _DryRun(result)
                return result

        try:
            result = await asyncio.to_thread(run)
        except _DryRun as kept:
            return kept.result  # type: ignore[no-any-return]
        except Denied as denied:
            raise await asyncio.to_thread(self._denied, denied, reason, dry) from None
        if told:  # beside the answer, so that nobody overlooks it
            context.set_trailing_metadata(((NOTICE_KEY, "\n".join(told).encode()),))
        if after is not None:
            await after(result)
        return result

    def _peer(self, context: Context) -> None:
        """That an operator of this fleet is calling, before anything in the request is read. Raises Refused."""
        verify_peer(context, self._verifier.keys, Purpose.OPERATOR)

    def _denied(self, denied: Denied, reason: str, dry: bool) -> Refused:
        with self._verifier.database.transaction() as session:
            return self._authority.note_denied(session, denied, reason, dry=dry)

    def _now(self) -> int:
        return self._verifier.clock()


def asked_for(context: Context) -> tuple[str, bool]:
    """(the reason, whether it is a dry run) that came beside the request."""
    found = dict(context.invocation_metadata() or ())
    raw = found.get(REASON_KEY, b"")
    reason = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    return reason[:MAX_REASON], found.get(DRY_RUN_KEY) == "1"
