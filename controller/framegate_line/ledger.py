"""The part ledger: every part that was triggered, what each view said, what became of it. Each step
is on disk before the next is taken.

A part is a row, not a number: counts start again and part numbers come again, and each time it is
another part. What goes by `prune` stays in the counts.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason, Unavailable
from framegate.signed.statement import Outcome, Verdict
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder, touch_private
from framegate_host.sqlite_file import opening, require_sound
from framegate_line.ledger_rows import Counts, DecidedPart, Fill, PartRow, Retention
from framegate_line.rules import EnteredPart, PartKey, Ruling, Trigger

log = logging.getLogger(__name__)
_VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS parts (
    entry INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL, part TEXT NOT NULL,
    part_type TEXT NOT NULL, sequence INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    triggered_ms INTEGER NOT NULL, opened_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
    outcome TEXT, reason TEXT NOT NULL DEFAULT '', decided_ms INTEGER,
    verdicts TEXT NOT NULL DEFAULT '', emitted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS parts_by_number ON parts (line, part, sequence, entry);
CREATE INDEX IF NOT EXISTS parts_open ON parts (deadline_ms) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS parts_unsent ON parts (decided_ms)
    WHERE outcome IS NOT NULL AND emitted = 0;
CREATE INDEX IF NOT EXISTS parts_by_time ON parts (opened_ms);
CREATE TABLE IF NOT EXISTS views (
    entry INTEGER NOT NULL, device TEXT NOT NULL, verdict_id TEXT NOT NULL, outcome TEXT NOT NULL,
    reason TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (entry, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late (
    entry INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, verdict_id TEXT NOT NULL,
    part TEXT NOT NULL, sequence INTEGER NOT NULL, device TEXT NOT NULL, outcome TEXT NOT NULL,
    why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pruned (
    line TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, parts INTEGER NOT NULL,
    PRIMARY KEY (line, outcome, reason)) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
NOT_SENT, SENT, NOT_TAKEN, UNDIVERTED = 0, 1, 2, 3
"""`emitted`: not handed over yet; handed to every output; not taken by one, or its time had passed:
the part was diverted; handed to every output of a zone that is piloted, where it went on.
"""
KEPT_MS: Final = 2 * 3_600_000
"""No part goes sooner: a broker keeps triggers for an hour, and a trigger that comes twice is known
by its part.
"""
MAX_LATE: Final = 100_000
"""Verdicts that came too late or for nothing, some twenty megabytes: they are told to people, no
part rests on them.
"""
_LATE: Final = "late"
_PRUNED_AT_ONCE: Final = 500
"""Parts of one step: some milliseconds, between two of which the line goes on."""
_ENTERED: Final = (
    "entry, part, part_type, sequence, at_ms, triggered_ms, opened_ms, deadline_ms,"
    " outcome IS NOT NULL"
)


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
            self._take(path)
        self._db = sqlite3.connect(path, timeout=10)
        try:
            with opening(path, Reason.UNAVAILABLE):
                self._begin(path, reading=reading)
        except BaseException:
            self.close()
            raise

    def _begin(self, path: Path, *, reading: bool) -> None:
        self._require_version(path)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if not reading:
            require_sound(self._db, path, Reason.UNAVAILABLE)
            self._db.executescript(_SCHEMA)

    def _take(self, path: Path) -> None:
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

    def _require_version(self, path: Path) -> None:
        """A file that is new or of this version; another one is never guessed at."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and version != _VERSION:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"a ledger of version {_VERSION} at {path}",
                f"version {version}",
                "move it away; a new one is made",
            )

    def open_part(
        self, trigger: Trigger, now_ms: int, triggered_ms: int, deadline_ms: int
    ) -> EnteredPart:
        """Enter a part. Whether its trigger came before is the caller's to ask (`newest`)."""
        key = PartKey.of(trigger)
        with self._db:
            row = self._db.execute(
                "INSERT INTO parts (line, part, part_type, sequence, at_ms, triggered_ms,"
                " opened_ms, deadline_ms) VALUES (?,?,?,?,?,?,?,?)",
                (
                    self.line,
                    key.part,
                    key.part_type,
                    key.sequence,
                    trigger.at_ms,
                    triggered_ms,
                    now_ms,
                    deadline_ms,
                ),
            )
        entry = row.lastrowid or 0
        return EnteredPart(entry, key, trigger.at_ms, triggered_ms, now_ms, deadline_ms)

    def newest(self, part: str, sequence: int) -> EnteredPart | None:
        """The latest part that had this part number and sequence, whatever its type."""
        row = self._db.execute(
            f"SELECT {_ENTERED} FROM parts WHERE line = ? AND part = ? AND sequence = ?"
            " ORDER BY entry DESC LIMIT 1",
            (self.line, part, sequence),
        ).fetchone()
        return _entered(row) if row else None

    def latest_of(self, key: PartKey) -> EnteredPart | None:
        """The latest part of this number, sequence and type."""
        row = self._db.execute(
            f"SELECT {_ENTERED} FROM parts WHERE line = ? AND part = ? AND sequence = ?"
            " AND part_type = ? ORDER BY entry DESC LIMIT 1",
            (self.line, key.part, key.sequence, key.part_type),
        ).fetchone()
        return _entered(row) if row else None

    def entered_by(self, trigger: Trigger) -> EnteredPart | None:
        """The latest part of this trigger's number, sequence, type and time."""
        key = PartKey.of(trigger)
        row = self._db.execute(
            f"SELECT {_ENTERED} FROM parts WHERE line = ? AND part = ? AND sequence = ?"
            " AND part_type = ? AND at_ms = ? ORDER BY entry DESC LIMIT 1",
            (self.line, key.part, key.sequence, key.part_type, trigger.at_ms),
        ).fetchone()
        return _entered(row) if row else None

    def view(self, part: EnteredPart, verdict: Verdict, now_ms: int) -> dict[str, Ruling]:
        """Take in a view's verdict, where it is this camera's first on the part; all views so
        far.
        """
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO views VALUES (?,?,?,?,?,?)",
                (
                    part.entry,
                    verdict.device,
                    verdict.verdict_id,
                    verdict.outcome,
                    verdict.reason,
                    now_ms,
                ),
            )
        rows = self._db.execute(
            "SELECT device, outcome, reason FROM views WHERE entry = ?", (part.entry,)
        ).fetchall()
        return {device: Ruling(Outcome(outcome), reason) for device, outcome, reason in rows}

    def decide(self, part: EnteredPart, ruling: Ruling, now_ms: int) -> DecidedPart | None:
        """Decide a part, once: None where it is decided already. Durable when it returns, before
        anything is let through.
        """
        with self._db:
            rows = self._db.execute(
                "SELECT verdict_id FROM views WHERE entry = ? ORDER BY device", (part.entry,)
            ).fetchall()
            verdicts = tuple(r[0] for r in rows)
            done = self._db.execute(
                "UPDATE parts SET outcome = ?, reason = ?, decided_ms = ?, verdicts = ?"
                " WHERE entry = ? AND outcome IS NULL",
                (ruling.outcome.value, ruling.reason, now_ms, ",".join(verdicts), part.entry),
            )
        return DecidedPart(part, ruling, verdicts, now_ms) if done.rowcount == 1 else None

    def emitted(self, part: EnteredPart, state: int) -> None:
        """Note what became of a decision: `SENT`, `NOT_TAKEN` or `UNDIVERTED`. Where the disk does
        not take that, the next start hands it over again, while it is in time.
        """
        with self._tolerant():
            self._db.execute("UPDATE parts SET emitted = ? WHERE entry = ?", (state, part.entry))

    def viewed(self, part: EnteredPart) -> tuple[str, ...]:
        """Cameras whose verdict on a part came."""
        rows = self._db.execute("SELECT device FROM views WHERE entry = ?", (part.entry,))
        return tuple(device for (device,) in rows)

    def undiverted(self) -> int:
        """Parts in the ledger that went on because their zone was piloted, and for no PASS."""
        (parts,) = self._db.execute(
            "SELECT count(*) FROM parts WHERE line = ? AND emitted = ?", (self.line, UNDIVERTED)
        ).fetchone()
        return int(parts)

    def note_late(self, verdict: Verdict, why: str, now_ms: int) -> None:
        """Log a verdict that came too late or for nothing; it is never acted on, and does without
        its row where the disk does not take it.
        """
        with self._tolerant():
            self._db.execute(
                "INSERT INTO late (at_ms, verdict_id, part, sequence, device, outcome, why)"
                " VALUES (?,?,?,?,?,?,?)",
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

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """A transaction that no part rests on."""
        try:
            with self._db:
                yield
        except sqlite3.Error as error:
            log.error("the ledger's disk does not take a note: %s", error)

    def left_open(self) -> list[EnteredPart]:
        """Parts that an earlier run left undecided."""
        rows = self._db.execute(
            f"SELECT {_ENTERED} FROM parts WHERE line = ? AND outcome IS NULL ORDER BY deadline_ms",
            (self.line,),
        ).fetchall()
        return [_entered(row) for row in rows]

    def left_unsent(self) -> list[DecidedPart]:
        """Decisions that an earlier run took and perhaps did not hand over."""
        rows = self._db.execute(
            f"SELECT outcome, reason, verdicts, decided_ms, {_ENTERED} FROM parts"
            " WHERE line = ? AND outcome IS NOT NULL AND emitted = 0 ORDER BY decided_ms",
            (self.line,),
        ).fetchall()
        return [
            DecidedPart(
                _entered(row[4:]),
                Ruling(Outcome(row[0]), row[1]),
                tuple(filter(None, row[2].split(","))),
                row[3],
            )
            for row in rows
        ]

    def counts(self) -> Counts:
        """What became of every part since the ledger was begun, pruned ones too."""
        outcomes, reasons, pruned = Counter[str](), Counter[str](), 0
        late = int(self._db.execute("SELECT count(*) FROM late").fetchone()[0])
        rows = self._db.execute(
            "SELECT outcome, reason, count(*), 0 FROM parts WHERE line = ? AND outcome IS NOT NULL"
            " GROUP BY outcome, reason UNION ALL"
            " SELECT outcome, reason, parts, parts FROM pruned WHERE line = ?",
            (self.line, self.line),
        ).fetchall()
        for outcome, reason, parts, gone in rows:
            if outcome == _LATE:
                late += parts
                continue
            outcomes[outcome] += parts
            pruned += gone
            if reason:
                reasons[reason] += parts
        (waiting,) = self._db.execute(
            "SELECT count(*) FROM parts WHERE line = ? AND outcome IS NULL", (self.line,)
        ).fetchone()
        return Counts(outcomes, reasons, int(waiting), late, pruned)

    def latest(self, limit: int) -> Sequence[PartRow]:
        """The latest parts, newest first."""
        rows = self._db.execute(
            "SELECT part, part_type, sequence, opened_ms, coalesce(outcome, ''), reason,"
            " coalesce(decided_ms, 0), emitted FROM parts WHERE line = ?"
            " ORDER BY opened_ms DESC, entry DESC LIMIT ?",
            (self.line, limit),
        ).fetchall()
        return [PartRow(PartKey(*r[:3]), *r[3:]) for r in rows]

    def fill(self) -> Fill:
        """How full the ledger is."""
        pages, free, size = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        (oldest,) = self._db.execute("SELECT coalesce(min(opened_ms), 0) FROM parts").fetchone()
        return Fill((pages - free) * size, int(oldest))

    def prune(self, now_ms: int, rule: Retention) -> int:
        """Take out a step's worth of parts that the rule no longer keeps, with their views; how
        many. Call again until it is 0.

        1. a part goes when it is older than `keep_ms`, or when the ledger is over its quota, the
           oldest first;
        2. never one that is open, or whose decision was not handed over, or younger than `KEPT_MS`;
        3. its outcome and reason stay in the counts, in the same transaction;
        4. verdicts that came too late go at the same age, and the oldest past `MAX_LATE`.
        """
        over = self.fill().used > rule.quota
        before = now_ms - (KEPT_MS if over else max(KEPT_MS, rule.keep_ms))  # 1, 2
        with self._db:
            rows = self._db.execute(
                "SELECT entry, outcome, reason FROM parts WHERE line = ? AND opened_ms < ?"
                " AND outcome IS NOT NULL AND emitted <> 0 ORDER BY opened_ms LIMIT ?",
                (self.line, before, _PRUNED_AT_ONCE),
            ).fetchall()
            entries = [(row[0],) for row in rows]
            self._db.executemany("DELETE FROM views WHERE entry = ?", entries)
            self._db.executemany("DELETE FROM parts WHERE entry = ?", entries)
            for (outcome, reason), parts in Counter((o, r) for _, o, r in rows).items():
                self._count_pruned(outcome, reason, parts)  # 3
            late = self._db.execute(
                "DELETE FROM late WHERE entry IN (SELECT entry FROM late WHERE at_ms < ? OR"
                " entry <= (SELECT coalesce(max(entry), 0) FROM late) - ? LIMIT ?)",
                (now_ms - max(KEPT_MS, rule.keep_ms), MAX_LATE, _PRUNED_AT_ONCE),
            ).rowcount  # 4
            if late:
                self._count_pruned(_LATE, "", late)
        return len(rows) + late

    def close(self) -> None:
        """Close the file and let another adapter have it."""
        self._db.close()
        if self._lock >= 0:
            os.close(self._lock)

    def _count_pruned(self, outcome: str, reason: str, parts: int) -> None:
        self._db.execute(
            "INSERT INTO pruned VALUES (?,?,?,?) ON CONFLICT (line, outcome, reason) DO UPDATE"
            " SET parts = parts + excluded.parts",
            (self.line, outcome, reason, parts),
        )


def _entered(row: Sequence[Any]) -> EnteredPart:
    """A part out of a row of `_ENTERED`."""
    return EnteredPart(
        entry=row[0],
        key=PartKey(row[1], row[2], row[3]),
        at_ms=row[4],
        triggered_ms=row[5],
        opened_ms=row[6],
        deadline_ms=row[7],
        decided=bool(row[8]),
    )
