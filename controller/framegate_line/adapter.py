"""The adapter: triggers and verdicts in, one decision for each part out, a heartbeat beside them.
What it does not say in time is not said at all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import from_ms
from framegate.pilot.policy import Stage
from framegate.pilot.would_stop import WouldStop
from framegate.signed.decision import Notice
from framegate.signed.line_state import LineState
from framegate.signed.statement import Outcome, Verdict, verify_verdict
from framegate_host.watchdog import Promise
from framegate_line.credentials import Credentials
from framegate_line.decisions import decision_on, said_of, would_be
from framegate_line.early import EARLY, EARLY_MS, Early
from framegate_line.ledger import NOT_TAKEN, SENT, UNDIVERTED, Ledger
from framegate_line.ledger_keeper import LedgerKeeper
from framegate_line.ledger_rows import DecidedPart, Done, Retention
from framegate_line.outputs import Output
from framegate_line.rules import (
    REUSE_MS,
    EnteredPart,
    PartKey,
    Recurrence,
    Rules,
    Ruling,
    Trigger,
    belongs,
    made_for,
    recurrence,
    rule,
    triggered_at,
)
from framegate_line.triggers import PartSource

log = logging.getLogger(__name__)
BEAT_S: Final = 0.25
"""Between two heartbeats; a PLC's watchdog waits for a few of them."""
BEAT_MOST_S: Final = 20.0
"""From one heartbeat to the next where every output is tried to the end of its patience: an adapter
that takes longer stands still.
"""
AGAIN_S: Final = 1.0
"""Between two tries of a disk that does not take a part's decision."""
STATE_BEATS: Final = 4
"""Heartbeats between two words on the outputs: one a second is what a person wants to know."""
DEFAULT_RETENTION: Final = Retention(90 * 86_400_000, 1024 * 1024 * 1024)


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
        retention: Retention = DEFAULT_RETENTION,
        tell_state: Callable[[bytes], None] | None = None,
    ) -> None:
        self.rules, self.ledger = rules, ledger
        self._credentials, self._outputs = credentials, outputs
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._tell_state = tell_state
        self.report: Callable[[FindingKind, str, str], None] = lambda *_: None
        self.stage: Callable[[], Stage] = lambda: Stage.ENFORCE
        self.duplicates = self.refused = 0
        self.done = Done()
        self.in_a_row = 0
        self.keeper = LedgerKeeper(ledger, retention, self.done, self.now_ms, self._filling)
        self.promise = Promise("the heartbeat")
        self._early: OrderedDict[tuple[PartKey, str], Early] = OrderedDict()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._announced: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        self._beats = secrets.randbits(15)

    async def run(self, source: PartSource) -> None:
        """Settle what an earlier run left, then serve until cancelled."""
        await self.settle()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self.keeper.keep())
            self._taking = group.create_task(self._take(source))

    async def _take(self, source: PartSource) -> None:
        async for trigger, done in source.triggers():
            try:
                self.trigger(trigger)
            except sqlite3.Error as error:  # diverted, and announced again: it was not acknowledged
                log.error("a part is not entered, the disk does not take it: %s", error)
                continue
            done()

    def take_no_more(self) -> None:
        """No part is entered from now on: whoever announces it has to do so again, to the next
        adapter. Those that are under way go on.
        """
        if self._taking is not None:
            self._taking.cancel()

    @property
    def under_way(self) -> int:
        """Parts that wait for their decision, and words on their way to outputs."""
        return len(self._timers) + len(self._tasks)

    async def settle(self) -> None:
        """After a restart: parts past their time are UNINSPECTED, parts within it wait on,
        decisions still in time are handed over again.
        """
        now, unsent = self.now_ms(), self.ledger.left_unsent()
        for part in self.ledger.left_open():
            if part.deadline_ms <= now:
                self._decide(part, Ruling(Outcome.UNINSPECTED, Reason.RESTARTED))
            else:
                self._arm(part)
        for decided in unsent:
            await self._emit(decided)

    def trigger(self, trigger: Trigger) -> None:
        """A part has entered. In the ledger when this returns.

        A trigger that was delivered twice changes nothing where it says when it was. One whose
        number another part had a moment ago is a part of its own, and UNINSPECTED at once, with
        that other one where it is still open: a verdict could be of either.
        """
        now = self.now_ms()
        self.evict(now)
        before = self.ledger.newest(trigger.part, trigger.trigger_sequence)
        again = self._recurrence(trigger, before, now)
        if again == Recurrence.SAME:
            self.duplicates += 1
            log.info(
                "trigger %d of part %s came twice", trigger.trigger_sequence, ascii(trigger.part)
            )
            return
        triggered = triggered_at(trigger, now)
        part = self.ledger.open_part(trigger, now, triggered, triggered + self.rules.deadline_ms)
        self._announced[part.entry] = self._spawn(self._announce(part))
        if before is not None and again == Recurrence.TOO_SOON:
            log.warning("part %s has a number that is still in use", ascii(part.key))
            reused = Ruling(Outcome.UNINSPECTED, Reason.TRIGGER_REUSED)
            self._decide(before, reused)
            self._decide(part, reused)
            return
        self._arm(part)
        for camera in self.rules.cameras:
            early = self._early.pop((part.key, camera), None)
            if early is not None:
                self._take_early(part, early, now)

    def _recurrence(self, trigger: Trigger, before: EnteredPart | None, now: int) -> Recurrence:
        """Whether it is the trigger of any part so far; if not, how soon after the latest one of
        its number, `before`, it comes.
        """
        for part in (self.ledger.entered_by(trigger), self.ledger.latest_of(PartKey.of(trigger))):
            if part and recurrence(self.rules, part, trigger, now) == Recurrence.SAME:
                return Recurrence.SAME
        if before is None:
            return Recurrence.ANOTHER
        return recurrence(self.rules, before, trigger, now)

    def verdict(self, envelope: bytes) -> None:
        """A verdict, from anyone: acted on only where it verifies, belongs here, was made for the
        part that waits, and comes in time. Never raises.
        """
        verdict = self._verified(envelope)
        if verdict is None:
            return
        try:
            self._take_in(envelope, verdict)
        except sqlite3.Error as error:  # its part is diverted at its deadline
            log.error("a verdict is not taken in, the disk does not take it: %s", error)

    def _take_in(self, envelope: bytes, verdict: Verdict) -> None:
        now, key = self.now_ms(), PartKey.of(verdict)
        part = self.ledger.latest_of(key)
        if part is None or (part.decided and now - part.opened_ms >= REUSE_MS):
            self._wait_for_trigger(key, Early(envelope, verdict, now), now)
        elif part.decided:
            self.ledger.note_late(verdict, "the part is decided", now)
        else:
            self._view(part, verdict, now)

    def evict(self, now: int) -> None:
        """Let go of verdicts that waited for a trigger too long, and of the oldest where too many
        wait. A clock that was set back is no reason to wait longer.
        """
        while self._early:
            oldest, early = next(iter(self._early.items()))
            if len(self._early) <= EARLY and 0 <= now - early.came_ms < EARLY_MS:
                return
            del self._early[oldest]
            self.ledger.note_late(early.verdict, "no trigger came for it", now)

    def _verified(self, envelope: bytes) -> Verdict | None:
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
            return None
        return verdict

    def _view(self, part: EnteredPart, verdict: Verdict, now: int) -> None:
        try:
            made_for(part, verdict)
        except FramegateError as error:
            self.refused += 1
            log.warning("verdict refused: %s", ascii(str(error)))
            self.ledger.note_late(verdict, "issued before its trigger", now)
            return
        if now >= part.deadline_ms:
            self.ledger.note_late(verdict, "past the deadline", now)
            self._decide(part, Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT))
            return
        ruling = rule(self.rules, self.ledger.view(part, verdict, now))
        if ruling is not None:
            self._decide(part, ruling)

    def _wait_for_trigger(self, key: PartKey, early: Early, now: int) -> None:
        if self._early.setdefault((key, early.verdict.device), early) is not early:
            self.ledger.note_late(early.verdict, "another one waits for that trigger", now)
        self.evict(now)

    def _take_early(self, part: EnteredPart, early: Early, now: int) -> None:
        """Its trigger came: life, certificate and belonging are looked at again, as they are now;
        then it is a verdict like any other.
        """
        verdict = self._verified(early.envelope)
        if verdict is None:
            self.ledger.note_late(early.verdict, "no longer holds when its trigger comes", now)
        elif not (current := self.ledger.latest_of(part.key)) or current.decided:
            self.ledger.note_late(verdict, "the part is decided", now)
        else:
            self._view(part, verdict, now)

    def _decide(self, part: EnteredPart, ruling: Ruling) -> None:
        """Decide a part; in the ledger when this returns, on its way to the outputs soon after. The
        first decision stands.
        """
        timer = self._timers.pop(part.entry, None)
        if timer is not None:
            timer.cancel()
        try:
            decided = self.ledger.decide(part, ruling, self.now_ms())
        except sqlite3.Error as error:  # nothing is let through that the ledger does not have
            log.error("a part is not decided, the disk does not take it: %s", error)
            self._later(AGAIN_S, part)
            return
        if decided is not None:
            self._spawn(self._hand_over(decided))

    async def _announce(self, part: EnteredPart) -> None:
        """A part has entered under a number that may have been used before: what permits that
        number ends.
        """
        for output in self._outputs:
            try:
                await output.expect(part.key.sequence)
            except Unavailable as error:
                log.info("%s", error)

    async def _hand_over(self, decided: DecidedPart) -> None:
        await self._emit(decided)
        await self._count(decided.ruling)

    async def _emit(self, decided: DecidedPart) -> None:
        """Hand a decision to every output, as far as `said_of` says."""
        part = decided.part
        announced = self._announced.pop(part.entry, None)
        if announced is not None:
            await announced
        now, stage = self.now_ms(), self.stage()
        said = said_of(decided, stage, now)
        if said is None:
            self.ledger.emitted(part, NOT_TAKEN)
            return
        decision = decision_on(self.rules, said, stage, now)
        envelope = decision.seal(self._credentials.der, self._credentials.sign)
        state = SENT if stage.diverts or decision.outcome == Outcome.PASS else UNDIVERTED
        if not stage.diverts:
            would = would_be(self.rules, said, stage, self.ledger.viewed(part))
            self.report(would.kind, would.text, part.key.part)
        for output in self._outputs:
            try:
                await output.decide(decision, envelope)
            except Unavailable as error:
                state = NOT_TAKEN
                log.warning("part %s is diverted: %s", ascii(part.key.part), error)
        self.ledger.emitted(part, state)

    async def _count(self, ruling: Ruling) -> None:
        self.done.outcomes[ruling.outcome] += 1
        if ruling.outcome == Outcome.UNINSPECTED:
            self.done.reasons[ruling.reason] += 1
        self.in_a_row = self.in_a_row + 1 if ruling.outcome == Outcome.UNINSPECTED else 0
        if self.in_a_row and self.in_a_row % self.rules.stop_after == 0:
            said, stage = f"{self.in_a_row} parts UNINSPECTED in a row", self.stage()
            if not stage.diverts:
                would = WouldStop(stage, str(ruling.reason), self.rules.zone)
                self.report(FindingKind.PILOT_STOP, would.text, said)
                return
            notice = Notice(
                self.rules.line, "line-stop", self.in_a_row, ruling.reason, self.now_ms()
            )
            log.error(
                "%d parts UNINSPECTED in a row (%s): asking for the line to be stopped",
                self.in_a_row,
                ruling.reason,
            )
            self.done.stops += 1
            self.report(FindingKind.LINE_STOP, ruling.reason, said)
            await self._tell(lambda output, envelope: output.ask_stop(notice, envelope), notice)

    async def _beat(self) -> None:
        while True:
            self._beats += 1
            self.promise.within(BEAT_MOST_S)
            self.evict(self.now_ms())
            refusing = await self._tell(
                lambda output, envelope: output.beat(self._beats, envelope),
                Notice(self.rules.line, "heartbeat", self._beats, "", self.now_ms()),
            )
            if self._beats % STATE_BEATS == 0:
                self._say_state(refusing)
            await asyncio.sleep(BEAT_S)

    def _say_state(self, refusing: frozenset[str]) -> None:
        """Tell whoever looks which outputs took the last heartbeat. Nobody there is no fault."""
        if refusing:
            said = ", ".join(sorted(refusing))
            self.report(FindingKind.LINE_OUTPUT, Reason.LINE_OUTPUT, said)
        if self._tell_state is None:
            return
        taking = tuple(o.name for o in self._outputs if o.name not in refusing)
        refused, now, mark = tuple(sorted(refusing)), self.now_ms(), self.stage().mark
        state = LineState(self.rules.line, taking, refused, now, mark)
        try:
            self._tell_state(state.seal(self._credentials.der, self._credentials.sign))
        except Unavailable as error:
            log.info("%s", error)

    async def _tell(
        self, call: Callable[[Output, bytes], Awaitable[None]], notice: Notice
    ) -> frozenset[str]:
        """Tell every output; returns the names of those that did not take it."""
        envelope, refusing = notice.seal(self._credentials.der, self._credentials.sign), set()
        for output in self._outputs:
            try:
                await call(output, envelope)
            except Unavailable as error:
                refusing.add(output.name)
                log.info("%s", error)
        return frozenset(refusing)

    def _filling(self, said: str) -> None:
        self.report(FindingKind.STORE_FILLING, Reason.STORE_QUOTA, said)

    def _arm(self, part: EnteredPart) -> None:
        self._later(max(0.0, (part.deadline_ms - self.now_ms()) / 1000), part)

    def _later(self, delay: float, part: EnteredPart) -> None:
        self._timers[part.entry] = asyncio.get_running_loop().call_later(
            delay, self._decide, part, Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT)
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
