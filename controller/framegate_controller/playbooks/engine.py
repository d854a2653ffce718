"""Follows the record for playbooks: entries are answered once, steps are done once.

What is to be done is written down, with how far the record was read, in one transaction; each step
is then done in one of its own, which marks it as done. A controller that is killed at any moment
goes on where it was: what was read is not answered again, what was done is not planned any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from framegate.access.caller import PLAYBOOK_PREFIX
from framegate.access.verbs import FLEET_WIDE
from framegate.errors import FramegateError
from framegate.machines.playbook_step import StepEvent, StepState
from framegate.machines.request import RequestState
from framegate.playbooks.run import Run, Verdict
from framegate.record.entry import Act
from framegate.record.playbook_events import (
    PlaybookAsked,
    PlaybookExpired,
    PlaybookHeldBack,
    PlaybookShadowed,
    PlaybookStepRefused,
)
from framegate.registry.playbook import PlaybookStep
from framegate_controller.events.notices import Notice
from framegate_controller.people.approvers import approvers
from framegate_controller.people.operators import quorum
from framegate_controller.people.playbooks import MOST_STEPS, RUN, ActingPlaybook
from framegate_controller.people.requests import Asked, as_of_now, ask, use
from framegate_controller.playbooks.steps import DoStep, why_of
from framegate_controller.record.playbooks import CHUNK, Replay
from framegate_controller.record.tail import RecordTail
from framegate_controller.store.ports import CONTROLLER, Moved, Transaction
from framegate_controller.verbs.desk import Asking, Desk
from framegate_proto.asked import content_of
from framegate_proto.v1 import framegate_pb2 as pb

CURSOR: Final = "playbooks-read"
AT_ONCE: Final = 200
"""Entries answered before their steps are done: a storm's first are not behind its last."""
BATCH: Final = 50
"""Steps done in one look: machines and gateways hear of them before the next are begun."""
STEP_LIFE_MS: Final = 600_000
"""A step that was planned so long ago answers a state of things that is over."""
QUIET_MS: Final = 2_000
"""A storm is asked for in one request once nothing was added for so long…"""
MOST_WAIT_MS: Final = 15_000
"""…and after so long in any case."""
MOST_TARGETS: Final = 2_000
"""Of one request; whoever approves reads them all."""
KEEP_MS: Final = 90 * 86_400_000
"""Steps that came to their end; the record keeps them for good."""
FORGET_EVERY_MS: Final = 3_600_000
_STATES: Final = {
    Verdict.ACT: StepState.PLANNED,
    Verdict.ASK: StepState.HELD,
    Verdict.SHADOW: StepState.SHADOW,
    Verdict.NEVER: StepState.NEVER,
}


class Engine:
    """The playbooks of one controller. Blocking: a chore calls `look`."""

    def __init__(self, desk: Desk, tail: RecordTail | None = None) -> None:
        self._tail = tail or RecordTail(desk.store)
        self._desk, self._store, self._fleet = desk, desk.store, desk.fleet
        self._replay: Replay | None = None
        self._read = self._forgotten_ms = 0

    def look(self) -> tuple[Notice, ...]:
        """Read what is new, do what is planned, hear what was decided, and ask for the rest."""
        if self._nothing_to_do():
            return ()
        told: tuple[Notice, ...] = ()
        more = True
        while more:  # what a storm's beginning calls for is done before its end is read
            try:
                more = self._follow()
            except Exception:
                self._replay = None  # it may have taken in what was not committed
                raise
            if self._anything_open():
                told += self._do()
        if self._anything_open():  # a busy record grows with each look, and calls for nothing
            self._decided()
            self._ask()
        return told

    def _nothing_to_do(self) -> bool:
        """What most looks of a quiet fleet find, some of each second: out of one snapshot."""
        if self._replay is None:
            return False
        with self._store.reading() as tx:
            return tx.log.size() == self._read and not self._open(tx)

    def _anything_open(self) -> bool:
        with self._store.reading() as tx:
            return self._open(tx)

    def _open(self, tx: Transaction) -> bool:
        """Whether steps wait for something, or are to be forgotten."""
        forget = tx.now_ms - self._forgotten_ms > FORGET_EVERY_MS
        return forget or tx.playbooks.any_open()

    def _follow(self) -> bool:
        """Plan what the next entries call for; whether there are more."""
        if self._replay is None:
            self._replay, self._read = self._caught_up()
        with self._store.reading() as tx:
            size = tx.log.size()
            until = min(size, self._read + AT_ONCE)
            runs = self._replay.follow(tx, self._tail.entries(self._read, until))
        if runs:
            with self._store.writing() as tx:
                waiting = _waiting_already(tx, [r for r in runs if r.verdict == Verdict.ASK])
                for run in runs:
                    if run.verdict != Verdict.ASK or _new(run, waiting):
                        _plan(tx, run)
                tx.settings.put(CURSOR, str(until))
        self._read = until
        return until < size

    def _caught_up(self) -> tuple[Replay, int]:
        """The record up to where it was answered, read again for what it says of the fleet. A
        registry that had no playbooks begins with what is new.
        """
        with self._store.reading() as tx:
            size, kept = tx.log.size(), tx.settings.get(CURSOR)
        if kept is None:
            with self._store.writing() as tx:
                tx.settings.put(CURSOR, str(size))
        end, replay = (size if kept is None else min(int(kept), size)), Replay(self._fleet)
        for first in range(0, end, CHUNK):
            with self._store.reading() as tx:
                replay.read(tx, first, min(end, first + CHUNK))
        return replay, end

    def _do(self) -> tuple[Notice, ...]:
        with self._store.reading() as tx:
            planned = tx.playbooks.in_state((StepState.PLANNED,), BATCH)
            late = [s for s in planned if tx.now_ms - s.planned_ms > STEP_LIFE_MS]
            forget = tx.now_ms - self._forgotten_ms > FORGET_EVERY_MS
        if late or forget:
            with self._store.writing() as tx:
                _expire(tx, late, StepEvent.EXPIRE, "planned too long ago")
                tx.playbooks.forget(tx.now_ms - KEEP_MS)
                self._forgotten_ms = tx.now_ms
        return tuple(n for s in planned if s not in late for n in self._done(s))

    def _done(self, step: PlaybookStep) -> tuple[Notice, ...]:
        acting = ActingPlaybook(step.playbook, step.revision, step.request)
        content = pb.RunPlaybookRequest(playbook=step.playbook, revision=step.revision)
        asking = Asking(peer=acting, content=lambda: content_of(content), reason=why_of(step))
        try:
            return self._desk.perform(DoStep(step), asking).tell
        except Moved:
            return ()  # somebody changed it meanwhile: the next look tries again
        except FramegateError as error:
            self._refused(step, error)
            return ()

    def _refused(self, step: PlaybookStep, error: FramegateError) -> None:
        failure = error.failures[0]
        why = f"{failure.expected}, {failure.actual}"
        with self._store.writing() as tx:
            now = tx.playbooks.step(step)
            if now is None or now.state != StepState.PLANNED:
                return
            tx.playbooks.put(now.after(StepEvent.REFUSE, tx.now_ms, f"{failure.reason}: {why}"))
            told = PlaybookStepRefused(
                playbook=step.playbook,
                revision=step.revision,
                trigger=step.trigger,
                step=step.number,
                action=step.action,
                target=step.target,
                reason=failure.reason,
                why=why,
            )
            tx.record(told, by=PLAYBOOK_PREFIX + step.playbook)

    def _decided(self) -> None:
        """What a person was asked for: planned where they said yes, over where they did not."""
        with self._store.reading() as tx:
            over = [r for r in tx.playbooks.requests() if _is_decided(tx, r)]
        for request in over:
            with self._store.writing() as tx:
                self._decide(tx, request)

    def _decide(self, tx: Transaction, identifier: str) -> None:
        request, steps = as_of_now(tx, tx.requests.find(identifier)), _waiting(tx, identifier)
        if request.state != RequestState.APPROVED:
            no = request.state == RequestState.DENIED
            event = StepEvent.REFUSE if no else StepEvent.EXPIRE
            _expire(tx, steps, event, "the answer was no" if no else "nobody answered in time")
            return
        policy = self._desk.people.authority.policy(tx)
        if len(approvers(tx, request, policy)) + 1 < quorum(tx):
            return  # whoever approved does not count any more: somebody else has to
        use(tx, request)
        for step in steps:
            tx.playbooks.put(step.after(StepEvent.APPROVE, tx.now_ms))

    def _ask(self) -> None:
        """Each playbook by itself: what one holds is neither before another's nor read for it."""
        with self._store.reading() as tx:
            names = tx.playbooks.holding()
            if not names:
                return
            open_ones = {tx.requests.find(r).requester for r in tx.playbooks.requests()}
            free = [n for n in names if PLAYBOOK_PREFIX + n not in open_ones]
            held = [tx.playbooks.in_state((StepState.HELD,), MOST_STEPS, name) for name in free]
            now = tx.now_ms
        for of_one in held:
            of_one.sort(key=lambda s: (s.revision, s.trigger, s.number))
            revision, steps = next((n, list(g)) for n, g in groupby(of_one, lambda s: s.revision))
            since, last = min(s.planned_ms for s in steps), max(s.planned_ms for s in steps)
            if now - last >= QUIET_MS or now - since >= MOST_WAIT_MS:
                self._ask_for(steps[0].playbook, revision, steps)

    def _ask_for(self, name: str, revision: int, held: Sequence[PlaybookStep]) -> None:
        triggers = sorted({s.trigger for s in held})[:MOST_TARGETS]
        steps = [s for s in held if s.trigger <= triggers[-1]]
        content = content_of(
            pb.RunPlaybookRequest(
                playbook=name,
                revision=revision,
                actions=list(dict.fromkeys(s.action for s in steps)),
                targets=_targets(steps),
            )
        )
        actor = PLAYBOOK_PREFIX + name
        asked = Asked(
            requester=actor,
            zone=FLEET_WIDE,
            content=content,
            reason=f"{len(triggers)} targets; the first: {why_of(steps[0])}; {steps[0].why}",
            verb=RUN,
            target=name,
        )
        with self._store.writing() as tx:
            tx.act = Act(actor=actor, verb=RUN)
            request = ask(tx, asked, self._desk.people.authority.policy(tx))
            for step in steps:
                now = tx.playbooks.step(step)
                if now is not None and now.state == StepState.HELD:
                    tx.playbooks.put(_asked_in(now.after(StepEvent.ASK, tx.now_ms), request.id))
            told = PlaybookAsked(
                playbook=name,
                revision=revision,
                request=request.id,
                targets=len(triggers),
                steps=len(steps),
            )
            tx.record(told)


def _waiting_already(tx: Transaction, asking: Sequence[Run]) -> set[tuple[object, ...]]:
    """What the playbooks of these runs hold or ask for already, of what they are about to ask for:
    nobody waits for all that a storm left to be read.
    """
    targets: dict[str, set[str]] = {}
    for run in asking:
        targets.setdefault(run.playbook, set()).update(s.target for s in run.steps)
    return {
        (name, *step)
        for name, wanted in targets.items()
        for step in tx.playbooks.waiting(name, wanted)
    }


def _new(run: Run, waiting: set[tuple[object, ...]]) -> bool:
    """Whether a run asks for anything that a person is not asked for already, which is added: one
    machine that makes entry after entry fills no queue (N218).
    """
    steps = {(run.playbook, run.revision, s.action.value, s.target) for s in run.steps}
    if steps <= waiting:
        return False
    waiting |= steps
    return True


def _targets(steps: Sequence[PlaybookStep]) -> list[pb.PlaybookTarget]:
    """Everything that steps are done to, each with what is done to it: a run may be about a
    machine, its zone and a person at once, and whoever approves reads all of them (N237).
    """
    actions: dict[tuple[int, str], list[str]] = {}
    for step in steps:
        actions.setdefault((step.trigger, step.target), []).append(step.action)
    return [
        pb.PlaybookTarget(trigger=trigger, target=target, actions=done)
        for (trigger, target), done in actions.items()
    ]


def _asked_in(step: PlaybookStep, request: str) -> PlaybookStep:
    return replace(step, request=request)


def _is_decided(tx: Transaction, identifier: str) -> bool:
    return as_of_now(tx, tx.requests.find(identifier)).state != RequestState.PENDING


def _waiting(tx: Transaction, request: str) -> list[PlaybookStep]:
    return [s for s in tx.playbooks.of_request(request) if s.state == StepState.ASKED]


def _expire(tx: Transaction, steps: Sequence[PlaybookStep], event: StepEvent, why: str) -> None:
    """End steps that will not be done, and say so once for each playbook."""
    for step in steps:
        tx.playbooks.put(step.after(event, tx.now_ms, why))
    for name in sorted({s.playbook for s in steps}):
        count = sum(s.playbook == name for s in steps)
        tx.record(PlaybookExpired(playbook=name, steps=count, why=why), by=CONTROLLER)


def _plan(tx: Transaction, run: Run) -> None:
    """Write down what a run comes to, each of its steps under its key."""
    for step in run.steps:
        tx.playbooks.plan(
            PlaybookStep(
                playbook=run.playbook,
                revision=run.revision,
                trigger=run.trigger,
                number=step.number,
                action=step.action.value,
                target=step.target,
                zone=run.zone,
                event=run.event,
                state=_STATES[run.verdict],
                at_ms=run.at_ms,
                planned_ms=tx.now_ms,
                why=run.why,
            )
        )
    actor = PLAYBOOK_PREFIX + run.playbook
    if run.verdict == Verdict.NEVER:
        held = PlaybookHeldBack(
            playbook=run.playbook,
            revision=run.revision,
            trigger=run.trigger,
            target=run.subject,
            why=run.why,
        )
        tx.record(held, by=actor)
    if run.verdict == Verdict.SHADOW:
        actions = tuple(s.action.value for s in run.steps)
        shadow = PlaybookShadowed(
            playbook=run.playbook,
            revision=run.revision,
            trigger=run.trigger,
            actions=actions,
            target=run.subject,
        )
        tx.record(shadow, by=actor)
