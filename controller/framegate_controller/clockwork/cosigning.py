"""Each witness is asked for its cosignature on every head of the log of decisions, and again before
the last one grows old. A witness that does not answer holds up nothing here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from framegate.errors import FramegateError
from framegate.record.transparency_events import (
    LogForked,
    WitnessBack,
    WitnessBehind,
    WitnessFailed,
)
from framegate.transparency.cosignature import cosignatures
from framegate.transparency.head import parse_head
from framegate.transparency.note import Note, NoteKey, parse_note, parse_signatures
from framegate.transparency.submission import SIZE_TYPE, Submission
from framegate_controller.context import Fleet
from framegate_controller.events.notices import Notice
from framegate_controller.record.decisions import decisions_key, growth, signed_head
from framegate_controller.store.ports import (
    CONTROLLER,
    KeptCosignature,
    Store,
    Transaction,
    WitnessStanding,
)
from framegate_controller.store.shared.decisions import begin_log

log = logging.getLogger(__name__)
ASK_S: Final = 1.0
"""How often a witness's turn comes: a decision waits no longer than that and the answer."""
AGAIN_MS: Final = 3_600_000
"""A head that does not grow is cosigned again after so long: machines ask for young ones."""
BACKOFF_S: Final = (2.0, 5.0, 15.0, 60.0)
"""After each failure in a row."""
MOST_TRIES: Final = 3
"""A witness may say twice from where it wants the proof."""
_FORKED, _BEHIND = "forked: ", "behind: "


@dataclass(frozen=True, slots=True)
class Reply:
    """What a witness answered: HTTP's status, the media type, and at most some kilobytes."""

    status: int
    kind: str
    body: bytes


Ask = Callable[[bytes], Reply]
"""Send a submission's body; raises FramegateError where there is no answer."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a turn came to: a cosignature, or why there is none; `size` is what the witness said
    that it cosigned last, where that is less than this log had from it.
    """

    cosignature: KeptCosignature | None = None
    error: str = ""
    behind: int | None = None


class Cosigning:
    """Asks one witness. `monotonic` is the clock of waiting after failures."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        witness: NoteKey,
        ask: Ask,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._fleet, self._witness = store, fleet, witness
        self._ask, self._monotonic = ask, monotonic
        self._failures, self._not_before_s = 0, 0.0

    def turn(self) -> tuple[Notice, ...]:
        """Ask, where there is something to ask for and the last failure is long enough ago."""
        if self._monotonic() < self._not_before_s or not self._due():
            return ()
        with self._store.writing() as tx:
            begin_log(tx)
            note, before = signed_head(tx, self._fleet.keys), self._standing(tx)
        said = self._asked(note, before)
        self._failures = self._failures + 1 if said.error else 0
        wait_s = BACKOFF_S[min(self._failures, len(BACKOFF_S)) - 1] if self._failures else 0.0
        self._not_before_s = self._monotonic() + wait_s
        if said.error:
            log.warning("%s: %s; again in %g s", self._witness.name, said.error, wait_s)
        with self._store.writing() as tx:
            self._keep(tx, said)
        return ()

    def _due(self) -> bool:
        with self._store.reading() as tx:
            standing, size = self._standing(tx), tx.decisions.size()
            origin = decisions_key(tx, self._fleet.keys).name
            asked = (standing.origin, standing.size) == (origin, size)
            return not asked or standing.failing_ms > 0 or tx.now_ms - standing.at_ms > AGAIN_MS

    def _standing(self, tx: Transaction) -> WitnessStanding:
        mine = [w for w in tx.decisions.witnesses() if w.witness == self._witness.text]
        return mine[0] if mine else WitnessStanding(self._witness.text)

    def _asked(self, note: bytes, before: WitnessStanding) -> _Said:
        parsed = parse_note(note)
        head = parse_head(parsed.text)
        old = before.size if before.origin == head.origin else 0
        had, behind = old, None
        for _ in range(MOST_TRIES):
            with self._store.reading() as tx:
                proof = growth(tx, old, head.size)
            try:
                reply = self._ask(Submission(old, proof, parsed).body)
            except FramegateError as error:
                return _Said(error=f"unreachable: {error.failures[0].actual}", behind=behind)
            if reply.status == 200:
                return self._taken(parsed, reply, behind)
            size = _size(reply)
            if size is None:
                text = ascii(reply.body[:120].decode("utf-8", "replace"))
                return _Said(error=f"refuses: HTTP {reply.status}, {text}", behind=behind)
            if size > head.size:
                return _Said(
                    error=f"{_FORKED}it cosigned {size} decisions of {head.origin}, "
                    f"this controller has {head.size}"
                )
            if size == head.size == old:
                return _Said(error=f"{_FORKED}it cosigned another head of {size} decisions")
            behind = size if size < had else behind
            old = size
        return _Said(error="refuses: it wants a proof from another size each time", behind=behind)

    def _taken(self, note: Note, reply: Reply, behind: int | None) -> _Said:
        """The witness's own cosignature out of its answer; others there are passed over."""
        try:
            answered = Note(note.text, parse_signatures(reply.body.decode()))
            now_s = self._fleet.clock() // 1000
            valid = cosignatures(answered, (self._witness,), now_s)
        except (FramegateError, UnicodeDecodeError) as error:
            return _Said(error=f"refuses: no cosignature of its key, {error}", behind=behind)
        if not valid:
            return _Said(error="refuses: no cosignature of the key it is known by", behind=behind)
        head = parse_head(note.text)
        kept = KeptCosignature(
            head.origin, head.size, self._witness.text, valid[0].at_s, valid[0].line
        )
        return _Said(kept, behind=behind)

    def _keep(self, tx: Transaction, said: _Said) -> None:
        before, name = self._standing(tx), self._witness.name
        if said.behind is not None and not before.error.startswith(_BEHIND):
            event = WitnessBehind(witness=name, cosigned=before.size, knows=said.behind)
            tx.record(event, by=CONTROLLER)
        if said.cosignature is not None:
            one = said.cosignature
            tx.decisions.put_cosignature(one)
            tx.decisions.put_witness(
                WitnessStanding(self._witness.text, one.origin, one.size, tx.now_ms)
            )
            if before.failing_ms:
                tx.record(WitnessBack(witness=name, decisions=one.size), by=CONTROLLER)
            return
        changed = _kind(before.error) != _kind(said.error)
        if changed and said.error.startswith(_FORKED):
            why = said.error.removeprefix(_FORKED)
            tx.record(LogForked(witness=name, why=why), by=CONTROLLER)
        elif changed:
            tx.record(WitnessFailed(witness=name, why=said.error), by=CONTROLLER)
        failing_ms = before.failing_ms or tx.now_ms
        tx.decisions.put_witness(replace(before, failing_ms=failing_ms, error=said.error))


def _kind(error: str) -> str:
    return error.partition(":")[0]


def _size(reply: Reply) -> int | None:
    text = reply.body[:20].decode("ascii", "replace").strip()
    told = reply.status == 409 and reply.kind == SIZE_TYPE and text.isdigit()
    return int(text) if told else None
