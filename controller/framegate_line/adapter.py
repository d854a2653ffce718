"""The adapter: triggers and verdicts in, one decision for each part out, a heartbeat beside them.
What it does not say in time is not said at all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.decision import Decision, Notice
from framegate.signed.dsse import strict_json
from framegate.signed.statement import Outcome, Verdict, verify_verdict
from framegate_line.credentials import Credentials
from framegate_line.ledger import NOT_TAKEN, SENT, DecidedPart, Ledger, PartKey
from framegate_line.outputs import Output
from framegate_line.rules import Rules, Ruling, Trigger, belongs, deadline_of, rule

log = logging.getLogger(__name__)
BEAT_S: Final = 0.25
"""Between two heartbeats; a PLC's watchdog waits for a few of them."""
EARLY: Final = 256
"""Verdicts that came before their trigger and wait for it: a fast camera overtakes a slow PLC by a
few parts.
"""
EARLY_MS: Final = 5_000


class PartSource(Protocol):
    """Where parts are born: a PLC on the broker, a photo-eye, a test. `done` is called once a
    trigger is in the ledger.
    """

    def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """Triggers as they come."""


class Adapter:
    """One line. `trigger` and `verdict` may be called by whoever brings them; `run` keeps the heart
    beating.
    """

    def __init__(
        self,
        rules: Rules,
        ledger: Ledger,
        credentials: Credentials,
        outputs: Sequence[Output],
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.rules, self.ledger, self._credentials, self._outputs = (
            rules,
            ledger,
            credentials,
            outputs,
        )
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.duplicates = self.refused = 0
        self._in_a_row = 0
        self._early: OrderedDict[tuple[PartKey, str], tuple[Verdict, int]] = OrderedDict()
        self._timers: dict[PartKey, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats = secrets.randbits(15)

    async def run(self, source: PartSource) -> None:
        """Settle what an earlier run left, then serve until cancelled."""
        await self.settle()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            async for trigger, done in source.triggers():
                self.trigger(trigger)
                done()

    async def settle(self) -> None:
        """After a restart: parts past their time are UNINSPECTED, parts within it wait on,
        decisions still in time are handed over again.
        """
        now, unsent = self.now_ms(), self.ledger.left_unsent()
        for part in self.ledger.left_open():
            if part.deadline_ms <= now:
                self._decide(part.key, Ruling(Outcome.UNINSPECTED, Reason.RESTARTED))
            else:
                self._arm(part.key, part.deadline_ms)
        for decided in unsent:
            await self._emit(decided)

    def trigger(self, trigger: Trigger) -> None:
        """A part has entered. In the ledger when this returns."""
        now = self.now_ms()
        deadline, key = (
            deadline_of(self.rules, trigger, now),
            PartKey(trigger.part, trigger.trigger_sequence),
        )
        if not self.ledger.open_part(trigger, now, deadline):
            self.duplicates += 1
            log.info(
                "trigger %d of part %s came twice", trigger.trigger_sequence, ascii(trigger.part)
            )
            return
        self._arm(key, deadline)
        for camera in self.rules.cameras:
            early = self._early.pop((key, camera), None)
            if early is not None:
                self._view(early[0])

    def verdict(self, envelope: bytes) -> None:
        """A verdict, from anyone: acted on only where it verifies, belongs here, and comes in time.
        Never raises.
        """
        try:
            verdict = verify_verdict(
                envelope,
                self._credentials.authorities,
                self._credentials.root,
                from_ms(self.now_ms()),
            )
            belongs(self.rules, verdict)
        except FramegateError as error:
            self.refused += 1
            log.warning("verdict refused: %s", ascii(str(error)))
            return
        self._view(verdict)

    def _view(self, verdict: Verdict) -> None:
        now, key = self.now_ms(), PartKey(verdict.part, verdict.trigger_sequence)
        part = self.ledger.waiting(key)
        if part is None:
            if self.ledger.known(key):
                self.ledger.note_late(verdict, "the part is decided", now)
            else:
                self._wait_for_trigger(key, verdict, now)
            return
        if now >= part.deadline_ms:
            self.ledger.note_late(verdict, "past the deadline", now)
            self._decide(key, Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT))
            return
        ruling = rule(self.rules, self.ledger.view(key, verdict, now))
        if ruling is not None:
            self._decide(key, ruling)

    def _wait_for_trigger(self, key: PartKey, verdict: Verdict, now: int) -> None:
        self._early.setdefault((key, verdict.device), (verdict, now))
        while self._early:
            oldest, (early, came) = next(iter(self._early.items()))
            if len(self._early) <= EARLY and came > now - EARLY_MS:
                return
            del self._early[oldest]
            self.ledger.note_late(early, "no trigger came for it", now)

    def _decide(self, key: PartKey, ruling: Ruling) -> None:
        """Decide a part; in the ledger when this returns, on its way to the outputs soon after. The
        first decision stands.
        """
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        decided = self.ledger.decide(key, ruling, self.now_ms())
        if decided is not None:
            self._spawn(self._hand_over(decided))

    async def _hand_over(self, decided: DecidedPart) -> None:
        await self._emit(decided)
        await self._count(decided.ruling)

    async def _emit(self, decided: DecidedPart) -> None:
        """Hand a decision to every output. A PASS past its part's deadline is never handed over: by
        then the part has been diverted.
        """
        now = self.now_ms()
        if now >= decided.deadline_ms and decided.ruling.outcome == Outcome.PASS:
            self.ledger.emitted(decided.key, NOT_TAKEN)
            return
        decision = Decision(
            decision_id=secrets.token_hex(16),
            line=self.rules.line,
            part=decided.key.part,
            trigger_sequence=decided.key.sequence,
            outcome=decided.ruling.outcome.value,
            reason=decided.ruling.reason,
            verdicts=decided.verdicts,
            issued_at_ms=now,
            valid_until_ms=max(decided.deadline_ms, now) + self.rules.hold_ms,
        )
        envelope = decision.seal(self._credentials.der, self._credentials.sign)
        state = SENT
        for output in self._outputs:
            try:
                await output.decide(decision, envelope)
            except Unavailable as error:
                state = NOT_TAKEN
                log.warning("part %s is diverted: %s", ascii(decided.key.part), error)
        self.ledger.emitted(decided.key, state)

    async def _count(self, ruling: Ruling) -> None:
        self._in_a_row = self._in_a_row + 1 if ruling.outcome == Outcome.UNINSPECTED else 0
        if self._in_a_row and self._in_a_row % self.rules.stop_after == 0:
            notice = Notice(
                self.rules.line, "line-stop", self._in_a_row, ruling.reason, self.now_ms()
            )
            log.error(
                "%d parts UNINSPECTED in a row (%s): asking for the line to be stopped",
                self._in_a_row,
                ruling.reason,
            )
            await self._tell(lambda output, envelope: output.ask_stop(notice, envelope), notice)

    async def _beat(self) -> None:
        while True:
            self._beats += 1
            await self._tell(
                lambda output, envelope: output.beat(self._beats, envelope),
                Notice(self.rules.line, "heartbeat", self._beats, "", self.now_ms()),
            )
            await asyncio.sleep(BEAT_S)

    async def _tell(self, call: Callable[[Output, bytes], Awaitable[None]], notice: Notice) -> None:
        envelope = notice.seal(self._credentials.der, self._credentials.sign)
        for output in self._outputs:
            try:
                await call(output, envelope)
            except Unavailable as error:
                log.info("%s", error)

    def _arm(self, key: PartKey, deadline_ms: int) -> None:
        delay = max(0.0, (deadline_ms - self.now_ms()) / 1000)
        self._timers[key] = asyncio.get_running_loop().call_later(
            delay, self._decide, key, Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT)
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def parse_trigger(payload: bytes) -> Trigger:
    """A trigger's JSON: {part, part_type, trigger_sequence, at_ms}, the last one optional. Raises
    Malformed.
    """
    body = strict_json(payload[:4096])
    members = {"part": str, "part_type": str, "trigger_sequence": int, "at_ms": int}
    if (
        type(body) is not dict
        or set(body) - set(members)
        or not {"part", "part_type", "trigger_sequence"} <= set(body)
    ):
        raise Malformed.of(
            Reason.MALFORMED,
            "a trigger {part, part_type, trigger_sequence, at_ms}",
            ascii(payload[:80]),
        )
    if any(type(body[m]) is not members[m] for m in body):
        raise Malformed.of(
            Reason.MALFORMED, "texts and whole numbers in a trigger", ascii(payload[:80])
        )
    return Trigger(body["part"], body["part_type"], body["trigger_sequence"], body.get("at_ms", 0))


def trigger_json(trigger: Trigger) -> bytes:
    """The JSON that `parse_trigger` reads."""
    return json.dumps(
        {
            "part": trigger.part,
            "part_type": trigger.part_type,
            "trigger_sequence": trigger.trigger_sequence,
            "at_ms": trigger.at_ms,
        }
    ).encode()
