"""The part ledger: every part that was triggered, what each view said, what became of it. Each step
is on disk before the next is taken.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate.signed.statement import Outcome, Verdict
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder, touch_private
from framegate_line.rules import Ruling, Trigger

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS parts (
    line TEXT NOT NULL, part TEXT NOT NULL, sequence INTEGER NOT NULL, part_type TEXT NOT NULL,
    opened_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
    outcome TEXT, reason TEXT NOT NULL DEFAULT '', decided_ms INTEGER,
    verdicts TEXT NOT NULL DEFAULT '', emitted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (line, part, sequence)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_open ON parts (deadline_ms) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS parts_unsent ON parts (decided_ms)
    WHERE outcome IS NOT NULL AND emitted = 0;
CREATE INDEX IF NOT EXISTS parts_by_time ON parts (opened_ms);
CREATE TABLE IF NOT EXISTS views (
    line TEXT NOT NULL, part TEXT NOT NULL, sequence INTEGER NOT NULL, device TEXT NOT NULL,
    verdict_id TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY (line, part, sequence, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late (
    at_ms INTEGER NOT NULL, verdict_id TEXT NOT NULL, part TEXT NOT NULL,
    sequence INTEGER NOT NULL, device TEXT NOT NULL, outcome TEXT NOT NULL, why TEXT NOT NULL);
"""
NOT_SENT, SENT, NOT_TAKEN = 0, 1, 2
"""`emitted`: not handed over yet; handed to every output; not taken by one, or its time had passed:
the part was diverted.
"""


@dataclass(frozen=True, slots=True)
class PartKey:
    """What a part is known by; a second trigger with the same key is the same part."""

    part: str
    sequence: int


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part that waits for its verdicts."""

    key: PartKey
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class DecidedPart:
    """A part and what became of it."""

    key: PartKey
    ruling: Ruling
    verdicts: tuple[str, ...]
    deadline_ms: int
    decided_ms: int


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part as listings show it."""

    key: PartKey
    part_type: str
    opened_ms: int
    outcome: str
    reason: str
    decided_ms: int
    emitted: int


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Parts by outcome, UNINSPECTED ones by reason, parts still `open`, verdicts that came too
    `late`.
    """

    outcomes: Counter[str]
    reasons: Counter[str]
    open: int
    late: int


class Ledger:
    """The ledger of one line in `path`. One adapter at a time; `reading` opens it beside a running
    one.
    """

    def __init__(self, path: Path, line: str, *, reading: bool = False) -> None:
        self.line = line
        self._lock = -1
        if reading:
            if not path.exists():
                raise Unavailable.of(
                    Reason.UNAVAILABLE, f"a ledger at {path}", "none", "framegate-line run makes it"
                )
        else:
            try:
                private_folder(path.parent)
            except OSError as error:
                raise Unavailable.of(
                    Reason.UNAVAILABLE,
                    f"a folder {path.parent} for the ledger",
                    error.strerror or error,
                    "name one this user may write: --ledger FILE",
                ) from error
            try:
                self._lock = hold(path.with_suffix(".lock"))
            except BlockingIOError as error:
                raise Unavailable.of(
                    Reason.UNAVAILABLE,
                    f"{path} for this adapter alone",
                    "another adapter runs",
                    "stop it first: two would pass a part twice",
                ) from error
            touch_private(path)
        self._db = sqlite3.connect(path, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if not reading:
            self._db.executescript(_SCHEMA)

    def open_part(self, trigger: Trigger, now_ms: int, deadline_ms: int) -> bool:
        """Enter a part; False where it was entered before (a duplicate trigger changes nothing)."""
        with self._db:
            inserted = self._db.execute(
                "INSERT OR IGNORE INTO parts (line, part, sequence, part_type, opened_ms,"
                " deadline_ms) VALUES (?,?,?,?,?,?)",
                (
                    self.line,
                    trigger.part,
                    trigger.trigger_sequence,
                    trigger.part_type,
                    now_ms,
                    deadline_ms,
                ),
            )
        return inserted.rowcount == 1

    def waiting(self, key: PartKey) -> OpenPart | None:
        """The part, if it was triggered and is not decided."""
        row = self._db.execute(
            "SELECT deadline_ms FROM parts WHERE line = ? AND part = ? AND sequence = ? AND outcome"
            " IS NULL",
            (self.line, key.part, key.sequence),
        ).fetchone()
        return OpenPart(key, row[0]) if row else None

    def known(self, key: PartKey) -> bool:
        """Whether the part was ever triggered."""
        return (
            self._db.execute(
                "SELECT 1 FROM parts WHERE line = ? AND part = ? AND sequence = ?",
                (self.line, key.part, key.sequence),
            ).fetchone()
            is not None
        )

    def view(self, key: PartKey, verdict: Verdict, now_ms: int) -> dict[str, Ruling]:
        """Take in a view's verdict, where it is this camera's first on the part; all views so
        far.
        """
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO views VALUES (?,?,?,?,?,?,?,?)",
                (
                    self.line,
                    key.part,
                    key.sequence,
                    verdict.device,
                    verdict.verdict_id,
                    verdict.outcome,
                    verdict.reason,
                    now_ms,
                ),
            )
        rows = self._db.execute(
            "SELECT device, outcome, reason FROM views WHERE line = ? AND part = ? AND"
            " sequence = ?",
            (self.line, key.part, key.sequence),
        ).fetchall()
        return {device: Ruling(Outcome(outcome), reason) for device, outcome, reason in rows}

    def decide(self, key: PartKey, ruling: Ruling, now_ms: int) -> DecidedPart | None:
        """Decide a part, once: None where it is decided already. Durable when it returns, before
        anything is let through.
        """
        where = (self.line, key.part, key.sequence)
        with self._db:
            rows = self._db.execute(
                "SELECT verdict_id FROM views WHERE line = ? AND part = ? AND sequence = ? ORDER BY"
                " device",
                where,
            ).fetchall()
            verdicts = tuple(r[0] for r in rows)
            done = self._db.execute(
                "UPDATE parts SET outcome = ?, reason = ?, decided_ms = ?, verdicts = ? WHERE line"
                " = ? AND part = ? AND sequence = ? AND outcome IS NULL",
                (ruling.outcome.value, ruling.reason, now_ms, ",".join(verdicts), *where),
            )
            if done.rowcount != 1:
                return None
            (deadline,) = self._db.execute(
                "SELECT deadline_ms FROM parts WHERE line = ? AND part = ? AND sequence = ?", where
            ).fetchone()
        return DecidedPart(key, ruling, verdicts, deadline, now_ms)

    def emitted(self, key: PartKey, state: int) -> None:
        """Note that a decision was handed to the outputs (`SENT`), or was not taken
        (`NOT_TAKEN`).
        """
        with self._db:
            self._db.execute(
                "UPDATE parts SET emitted = ? WHERE line = ? AND part = ? AND sequence = ?",
                (state, self.line, key.part, key.sequence),
            )

    def note_late(self, verdict: Verdict, why: str, now_ms: int) -> None:
        """Log a verdict that came too late or for nothing; it is never acted on."""
        with self._db:
            self._db.execute(
                "INSERT INTO late VALUES (?,?,?,?,?,?,?)",
                (
                    now_ms,
                    verdict.verdict_id,
                    verdict.part,
                    verdict.trigger_sequence,
                    verdict.device,
                    verdict.outcome,
                    why,
                ),
            )

    def left_open(self) -> list[OpenPart]:
        """Parts that an earlier run left undecided."""
        rows = self._db.execute(
            "SELECT part, sequence, deadline_ms FROM parts WHERE line = ? AND outcome IS NULL ORDER"
            " BY deadline_ms",
            (self.line,),
        ).fetchall()
        return [OpenPart(PartKey(p, s), d) for p, s, d in rows]

    def left_unsent(self) -> list[DecidedPart]:
        """Decisions that an earlier run took and perhaps did not hand over."""
        rows = self._db.execute(
            "SELECT part, sequence, outcome, reason, verdicts, deadline_ms, decided_ms FROM parts"
            " WHERE line = ? AND outcome IS NOT NULL AND emitted = 0 ORDER BY decided_ms",
            (self.line,),
        ).fetchall()
        return [
            DecidedPart(
                PartKey(p, s), Ruling(Outcome(o), r), tuple(filter(None, v.split(","))), d, t
            )
            for p, s, o, r, v, d, t in rows
        ]

    def counts(self) -> LedgerCounts:
        """How many parts came in and what became of them."""
        outcomes = Counter(
            dict(
                self._db.execute(
                    "SELECT outcome, count(*) FROM parts WHERE line = ? AND outcome IS NOT NULL"
                    " GROUP BY outcome",
                    (self.line,),
                ).fetchall()
            )
        )
        reasons = Counter(
            dict(
                self._db.execute(
                    "SELECT reason, count(*) FROM parts WHERE line = ? AND reason <> '' GROUP BY"
                    " reason",
                    (self.line,),
                ).fetchall()
            )
        )
        (waiting,) = self._db.execute(
            "SELECT count(*) FROM parts WHERE line = ? AND outcome IS NULL", (self.line,)
        ).fetchone()
        (late,) = self._db.execute("SELECT count(*) FROM late").fetchone()
        return LedgerCounts(outcomes, reasons, int(waiting), int(late))

    def latest(self, limit: int) -> Sequence[PartRow]:
        """The latest parts, newest first."""
        rows = self._db.execute(
            "SELECT part, sequence, part_type, opened_ms, coalesce(outcome, ''), reason,"
            " coalesce(decided_ms, 0), emitted FROM parts WHERE line = ? ORDER BY opened_ms DESC"
            " LIMIT ?",
            (self.line, limit),
        ).fetchall()
        return [PartRow(PartKey(r[0], r[1]), *r[2:]) for r in rows]

    def close(self) -> None:
        """Close the file and let another adapter have it."""
        self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
