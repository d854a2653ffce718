"""The vault's frames: appended, encrypted, to one file for each key; an index says where. One
thread writes, the frame path only queues.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag

from framegate.errors import FramegateError, Reason, Refused
from framegate.signed.statement import Outcome, Verdict
from framegate.wire import sha256
from framegate_gateway.vault.keys import DayKey, VaultKeys
from framegate_host.private_files import append_private, private_folder, touch_private
from framegate_host.sqlite_file import open_sqlite

log = logging.getLogger(__name__)
EXPIRE_S: Final = 600.0
"""How often retention is looked at; it counts in days."""
QUEUE: Final = 256
"""Frames that wait to be written: 40 MB at 160 KB. The vault never holds up a verdict: past this a
frame is dropped and counted.
"""
GROUP: Final = 64
"""Frames of one index commit."""
MAX_OPEN: Final = 64
"""Files kept open."""
KEEP_DAYS: Final[Mapping[str, int]] = {Outcome.PASS: 7, Outcome.DEFECT: 90, Outcome.UNINSPECTED: 7}
"""Retention where nothing else is said: defects as long as a claim takes, everything else a week.
"""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS frames (
    id TEXT PRIMARY KEY, device TEXT NOT NULL, day TEXT NOT NULL, outcome TEXT NOT NULL,
    part TEXT NOT NULL, at_ms INTEGER NOT NULL, mask_version INTEGER NOT NULL,
    encoding INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL,
    sha256 BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS frames_by_device ON frames (device, at_ms);
CREATE INDEX IF NOT EXISTS frames_by_key ON frames (device, day, outcome);
CREATE TABLE IF NOT EXISTS erased (device TEXT, day TEXT, outcome TEXT, at_ms INTEGER,
    frames INTEGER, actor TEXT, PRIMARY KEY (device, day, outcome, at_ms));
CREATE TABLE IF NOT EXISTS exports (at_ms INTEGER NOT NULL, actor TEXT NOT NULL,
    frames INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame out of the vault, checked against the digest in its verdict."""

    id: str
    device: str
    part: str
    outcome: str
    at_ms: int
    mask_version: int
    encoding: int
    image: bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """What the vault has of one camera, day and outcome, or had before it was erased."""

    key: DayKey
    frames: int
    bytes: int
    erased: bool
    expires_ms: int


@dataclass(frozen=True, slots=True)
class _Keep:
    verdict: Verdict
    image: bytes
    encoding: int
    mask_version: int


class FrameVault:
    """An open vault in `folder`. `keep` never waits; everything else blocks and is called from
    threads.
    """

    def __init__(
        self, folder: Path, keys: VaultKeys, keep_days: Mapping[str, int] = KEEP_DAYS
    ) -> None:
        self._folder, self._keys, self._keep_days = folder / "frames", keys, dict(keep_days)
        private_folder(self._folder)
        self._path = folder / "vault.db"
        touch_private(self._path)
        self._index = self._connect()
        self._index.executescript(_SCHEMA)
        self.dropped = 0
        self.problem = ""
        self._files: dict[DayKey, BinaryIO] = {}
        self._queue: queue.Queue[_Keep | Callable[[], None] | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._write_forever, name="vault", daemon=True)
        self._thread.start()

    def keep(self, verdict: Verdict, image: bytes, encoding: int, mask_version: int = 0) -> None:
        """Queue a frame to be written; where the queue is full it is dropped and counted."""
        try:
            self._queue.put_nowait(_Keep(verdict, image, encoding, mask_version))
        except queue.Full:
            self.dropped += 1

    def get(self, identifier: str) -> StoredFrame:
        """The frame of a verdict. Raises Refused: NOT_FOUND, or VAULT where its key was erased or
        its bytes are damaged.
        """
        with self._reading() as index:
            row = index.execute(
                "SELECT id, device, day, outcome, part, at_ms, mask_version, encoding, offset,"
                " size, sha256 FROM frames WHERE id = ?",
                (identifier,),
            ).fetchone()
        if row is None:
            raise Refused.of(
                Reason.NOT_FOUND,
                "a frame in the vault",
                f"none of verdict {identifier[:64]}",
                "framegate data status",
            )
        key = DayKey(row[1], row[2], row[3])
        cipher = self._keys.get(key)
        try:
            with self._segment(key).open("rb") as file:
                file.seek(row[8])
                raw = file.read(row[9])
            image = cipher.decrypt(raw[:12], raw[12:], _aad(row[0], key, row[7]))
        except (OSError, InvalidTag, ValueError) as error:
            raise Refused.of(
                Reason.VAULT,
                f"the frame of verdict {identifier[:64]} as it was written",
                type(error).__name__,
                "the disk was damaged or edited",
            ) from error
        if sha256(image) != row[10]:
            raise Refused.of(Reason.VAULT, "the frame that was inspected", "another")
        return StoredFrame(row[0], row[1], row[4], row[3], row[5], row[6], row[7], image)

    def identifiers(self, device: str, since_ms: int, limit: int) -> list[str]:
        """Verdict ids of a camera's frames since a time, oldest first."""
        with self._reading() as index:
            rows = index.execute(
                "SELECT id FROM frames WHERE device = ? AND at_ms >= ? ORDER BY at_ms LIMIT ?",
                (device, since_ms, limit),
            ).fetchall()
        return [r[0] for r in rows]

    def holds(self, identifiers: Sequence[str]) -> set[str]:
        """Those of these verdict ids whose frame is here."""
        places = ",".join("?" * len(identifiers))
        with self._reading() as index:
            rows = index.execute(f"SELECT id FROM frames WHERE id IN ({places})", [*identifiers])
            return {row[0] for row in rows}

    def newest_masks(self, device: str) -> int:
        """The highest mask version any frame of this camera was taken under."""
        with self._reading() as index:
            return int(
                index.execute(
                    "SELECT coalesce(max(mask_version), 0) FROM frames WHERE device = ?", (device,)
                ).fetchone()[0]
            )

    def exported_since(self, actor: str, since_ms: int) -> int:
        """Frames this operator has taken out since a time."""
        with self._reading() as index:
            return int(
                index.execute(
                    "SELECT coalesce(sum(frames), 0) FROM exports WHERE actor = ? AND at_ms >= ?",
                    (actor, since_ms),
                ).fetchone()[0]
            )

    def count_export(self, actor: str, frames: int, at_ms: int) -> None:
        """Count frames against an operator's quota, durably, before they leave."""
        with self._reading() as index, index:
            index.execute("PRAGMA synchronous=FULL")
            index.execute("INSERT INTO exports VALUES (?, ?, ?)", (at_ms, actor, frames))

    def erase(self, device: str, day: str, actor: str, now_ms: int) -> tuple[int, int]:
        """Erase the keys of a camera's day (`day` empty: all days), then its files. (keys, frames)
        erased. Waits for frames under way.
        """
        return self._on_writer(
            lambda: self._erase(
                [k for k in self._keys.present() if k.device == device and day in {"", k.day}],
                actor,
                now_ms,
            )
        )

    def expire(self, now_ms: int) -> tuple[int, int]:
        """Erase what is past its time. (keys, frames) erased."""
        return self._on_writer(
            lambda: self._erase(
                [k for k in self._keys.present() if self._expires_ms(k) <= now_ms],
                "retention",
                now_ms,
            )
        )

    def holdings(self) -> list[Holding]:
        """What there is, and what there was, by camera, day and outcome."""
        with self._reading() as index:
            rows = index.execute(
                "SELECT device, day, outcome, count(*), sum(size) FROM frames GROUP BY device, day,"
                " outcome"
            ).fetchall()
            gone = index.execute(
                "SELECT device, day, outcome, sum(frames) FROM erased GROUP BY device, day, outcome"
            ).fetchall()
        kept = [
            Holding(DayKey(*r[:3]), r[3], r[4], False, self._expires_ms(DayKey(*r[:3])))
            for r in rows
        ]
        return sorted(
            kept + [Holding(DayKey(*r[:3]), r[3], 0, True, 0) for r in gone],
            key=lambda h: (h.key, h.erased),
        )

    def close(self) -> None:
        """Write what waits, then close."""
        self._queue.put(None)
        self._thread.join(20)
        for file in self._files.values():
            file.close()
        self._index.close()

    def _erase(self, keys: list[DayKey], actor: str, now_ms: int) -> tuple[int, int]:
        frames = 0
        for key in keys:
            if (file := self._files.pop(key, None)) is not None:
                file.close()
            self._keys.erase(
                key
            )  # from here on the frames are gone, whatever happens to their files
            where = (key.device, key.day, key.outcome)
            with self._index:
                (count,) = self._index.execute(
                    "SELECT count(*) FROM frames WHERE device = ? AND day = ? AND outcome = ?",
                    where,
                ).fetchone()
                self._index.execute(
                    "DELETE FROM frames WHERE device = ? AND day = ? AND outcome = ?", where
                )
                self._index.execute(
                    "INSERT OR REPLACE INTO erased VALUES (?,?,?,?,?,?)",
                    (*where, now_ms, count, actor),
                )
            self._segment(key).unlink(missing_ok=True)
            frames += count
        return len(keys), frames

    def _on_writer(self, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        done, counts, problems = threading.Event(), [(0, 0)], list[BaseException]()

        def run() -> None:
            try:
                counts[0] = work()
            except Exception as error:  # noqa: BLE001 - handed to the caller below
                problems.append(error)
            done.set()

        self._queue.put(run)
        done.wait()
        if problems:
            raise problems[0]
        return counts[0]

    def _expires_ms(self, key: DayKey) -> int:
        end = datetime.fromisoformat(key.day).replace(tzinfo=UTC) + timedelta(
            days=1 + self._keep_days.get(key.outcome, 7)
        )
        return int(end.timestamp() * 1000)

    def _write_forever(self) -> None:
        ended = False
        while not ended:
            items = [self._queue.get()]
            while len(items) < GROUP:
                try:
                    items.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            rows = []
            for item in items:
                if item is None:
                    ended = True
                elif isinstance(item, _Keep):
                    try:
                        rows.append(self._write(item))
                    except (OSError, FramegateError) as error:
                        self.dropped += 1
                        self.problem = str(error)
                else:
                    self._insert(rows)
                    rows = []
                    item()
            self._insert(rows)

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        for file in self._files.values():
            file.flush()
        try:
            with self._index:
                self._index.executemany(
                    "INSERT OR IGNORE INTO frames VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows
                )
        except sqlite3.Error as error:
            self.dropped += len(rows)
            self.problem = str(error)

    def _write(self, item: _Keep) -> tuple[object, ...]:
        v = item.verdict
        key = DayKey(
            v.device,
            datetime.fromtimestamp(v.issued_at_ms / 1000, UTC).strftime("%Y-%m-%d"),
            v.outcome,
        )
        cipher, nonce = self._keys.get(key, make=True), secrets.token_bytes(12)
        file = self._file(key)
        offset, sealed = (
            file.tell(),
            cipher.encrypt(nonce, item.image, _aad(v.verdict_id, key, item.encoding)),
        )
        file.write(nonce)
        file.write(sealed)
        digest = bytes.fromhex(v.input_sha256)
        return (
            v.verdict_id,
            v.device,
            key.day,
            key.outcome,
            v.part,
            v.issued_at_ms,
            item.mask_version,
            item.encoding,
            offset,
            12 + len(sealed),
            digest,
        )

    def _file(self, key: DayKey) -> BinaryIO:
        if key not in self._files:
            if len(self._files) >= MAX_OPEN:
                self._files.pop(next(iter(self._files))).close()
            descriptor = append_private(self._segment(key))
            self._files[key] = os.fdopen(descriptor, "ab", buffering=1 << 20)
        return self._files[key]

    def _segment(self, key: DayKey) -> Path:
        return self._folder / f"{key.stem}.sealed"

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return closing(self._connect())

    def _connect(self) -> sqlite3.Connection:
        return open_sqlite(self._path, power_cut=False)


def _aad(identifier: str, key: DayKey, encoding: int) -> bytes:
    return f"framegate/v1/vault\0{identifier}\0{key.stem}\0{encoding}".encode()


async def keep_expiring(vault: FrameVault, now_ms: Callable[[], int]) -> None:
    """Erase what its outcome's time is over for, every `EXPIRE_S`, for ever."""
    while True:
        keys, frames = await asyncio.to_thread(vault.expire, now_ms())
        if keys:
            log.warning("retention: %d keys erased, with %d frames", keys, frames)
        await asyncio.sleep(EXPIRE_S)
