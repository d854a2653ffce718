"""A gateway's or a line's findings on its disk: kept until they stand in a signed report, and that
until the controller's record has it.

Findings that wait are one row for each kind, device and reason, so that a controller that is away
for days costs no more room than one that is away for a minute; their counts go on.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from framegate.errors import Reason, Unavailable
from framegate.findings.kinds import URGENCY, Finding
from framegate.signed.report import Accepted, Report, ReportEnd
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder
from framegate_host.sqlite_file import open_sqlite, opening, require_sound

KEPT: Final = 10_000
"""Reports that are kept after they were taken, a week of them: a record that is restored from a
backup gets anew what it lost.
"""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS findings (
    kind TEXT NOT NULL, device TEXT NOT NULL, reason TEXT NOT NULL, urgency INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (kind, device, reason)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
    device TEXT PRIMARY KEY, count INTEGER NOT NULL, last_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, closed_at_ms INTEGER NOT NULL,
    envelope BLOB NOT NULL, entry INTEGER);
CREATE INDEX IF NOT EXISTS reports_untaken ON reports (number) WHERE entry IS NULL;
"""


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report on its way: its number, the digest of its payload (hex), its envelope."""

    number: int
    sha256: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a report, the most urgent first."""

    findings: tuple[Finding, ...]
    accepted: tuple[Accepted, ...]


class ReportStore:
    """Reports of one host, in `folder`. One process at a time; any thread of it."""

    def __init__(self, folder: Path) -> None:
        """Raises Unavailable where another process has it."""
        private_folder(folder)
        path = folder / "reports.db"
        try:
            self._lock = hold(folder / "reports.lock")
        except BlockingIOError as error:
            raise Unavailable.of(
                Reason.REPORT,
                f"{path} for this process alone",
                "another process has it",
                "stop it, or choose another folder",
            ) from error
        self._turn = Lock()
        try:
            with opening(path, Reason.REPORT):
                named = self._begin(path)
        except BaseException:
            os.close(self._lock)
            raise
        self.id = str(named[0]) if named is not None else ""

    def _begin(self, path: Path) -> tuple[Any, ...] | None:
        self._db = open_sqlite(path)
        require_sound(self._db, path, Reason.REPORT)
        with self._db:
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (_new_id(),))
        return self._one("SELECT value FROM meta WHERE name = 'store'")

    def keep(self, findings: Sequence[Finding], accepted: Sequence[Accepted] = ()) -> None:
        """On disk when this returns; what waits of the same kind, device and reason is counted on.
        Raises Unavailable (REPORT).
        """
        with self._turn:
            try:
                with self._db:
                    for finding in findings:
                        self._keep(finding)
                    for row in accepted:
                        self._db.execute(
                            "INSERT INTO accepted VALUES (?,?,?) ON CONFLICT (device) DO UPDATE SET"
                            " count = count + excluded.count, last_ms = max(last_ms,"
                            " excluded.last_ms)",
                            (row.device, row.count, row.last_ms),
                        )
            except sqlite3.Error as error:
                raise Unavailable.of(
                    Reason.REPORT, "findings on disk", error, "free the disk"
                ) from error

    def waiting(self, most_findings: int, most_accepted: int) -> Waiting:
        """What the next report is made of."""
        with self._turn:
            findings = self._db.execute(
                "SELECT body FROM findings ORDER BY urgency, device, reason LIMIT ?",
                (most_findings,),
            ).fetchall()
            accepted = self._db.execute(
                "SELECT device, count, last_ms FROM accepted ORDER BY device LIMIT ?",
                (most_accepted,),
            ).fetchall()
        return Waiting(
            tuple(Finding.parse(json.loads(body)) for (body,) in findings),
            tuple(Accepted(device=d, count=c, last_ms=at) for d, c, at in accepted),
        )

    def end(self) -> ReportEnd | None:
        """What the next report follows."""
        row = self._one(
            "SELECT number, sha256, closed_at_ms FROM reports ORDER BY number DESC LIMIT 1"
        )
        return ReportEnd(number=row[0], sha256=row[1], closed_at_ms=row[2]) if row else None

    def add(self, report: Report, sha256: str, envelope: bytes, told: Waiting) -> None:
        """Keep a signed report in place of what it tells. What was counted on since stays."""
        values = (report.number, sha256, report.closed_at_ms, envelope)
        with self._turn, self._db:
            self._db.execute("INSERT INTO reports VALUES (?,?,?,?,NULL)", values)
            for finding in told.findings:
                self._db.execute(
                    "DELETE FROM findings WHERE kind = ? AND device = ? AND reason = ?",
                    (finding.kind.value, finding.device, finding.reason),
                )
            for row in told.accepted:
                self._db.execute("DELETE FROM accepted WHERE device = ?", (row.device,))

    def untaken(self, most: int) -> list[SignedReport]:
        """The oldest reports that are not in the controller's record."""
        with self._turn:
            rows = self._db.execute(
                "SELECT number, sha256, envelope FROM reports WHERE entry IS NULL ORDER BY number"
                " LIMIT ?",
                (most,),
            ).fetchall()
        return [SignedReport(*row) for row in rows]

    def taken(self, number: int, sha256: str, entry: int) -> bool:
        """Report `number`, of that digest, is entry `entry` of the record. False where there is no
        such report here.
        """
        with self._turn, self._db:
            known = self._db.execute(
                "UPDATE reports SET entry = ? WHERE number = ? AND sha256 = ?",
                (entry, number, sha256),
            ).rowcount
            self._db.execute(
                "DELETE FROM reports WHERE entry IS NOT NULL AND number <= ?", (number - KEPT,)
            )
        return bool(known)

    def forget_taken(self, entry: int) -> int:
        """The record lost its entries from `entry` on: hand over anew what it had there; how many
        reports those are.
        """
        with self._turn, self._db:
            return self._db.execute(
                "UPDATE reports SET entry = NULL WHERE entry >= ?", (entry,)
            ).rowcount

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._db.close()
        os.close(self._lock)

    def _keep(self, finding: Finding) -> None:
        key = (finding.kind.value, finding.device, finding.reason)
        row = self._db.execute(
            "SELECT body FROM findings WHERE kind = ? AND device = ? AND reason = ?", key
        ).fetchone()
        if row is not None:
            before = Finding.parse(json.loads(row[0]))
            finding = Finding(
                kind=finding.kind,
                device=finding.device,
                reason=finding.reason,
                count=before.count + finding.count,
                first_ms=min(before.first_ms, finding.first_ms),
                last_ms=max(before.last_ms, finding.last_ms),
                said=before.said or finding.said,
            )
        self._db.execute(
            "INSERT OR REPLACE INTO findings VALUES (?,?,?,?,?)",
            (*key, URGENCY[finding.kind], json.dumps(finding.body())),
        )

    def _one(self, statement: str) -> tuple[Any, ...] | None:
        with self._turn, closing(self._db.execute(statement)) as cursor:
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row


def _new_id() -> str:
    return secrets.token_hex(16)
