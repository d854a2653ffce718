"""What a witness keeps in its folder: its key, the logs it watches, and the last head it cosigned
of each. A head is on the disk before its cosignature leaves.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.identity.certificates import UNREADABLE
from framegate.transparency.cosignature import cosign, witness_key
from framegate.transparency.head import TreeHead, parse_head
from framegate.transparency.note import KeyType, NoteKey, parse_note, parse_note_key
from framegate.transparency.submission import Submission
from framegate.transparency.witnessing import Declined, require_consistent
from framegate_host.file_lock import hold
from framegate_host.private_files import (
    append_public,
    closed_folder,
    keep_private,
    make_private,
    private_folder,
    state_folder,
    write_private,
)

log = logging.getLogger(__name__)
MAX_LOGS: Final = 1_000
"""Keys of logs that one witness watches; each costs a file of some hundred bytes."""
MAX_FORKS: Final = 64
"""Forked heads that are kept as evidence; one is enough, and a log's owner could send many."""
MAX_KEPT_BYTES: Final = 256 * 1024
_KEY, _NAME, _LOGS, _LOCK = "key.pem", "name", "logs", "lock"


@dataclass(frozen=True, slots=True)
class Watched:
    """A log that is watched, and the last head of it that was cosigned, None before the first."""

    key: NoteKey
    head: TreeHead | None
    at_s: int


def make_witness(folder: Path, name: str) -> NoteKey:
    """Make a witness's folder and key; what it is known by. Raises Refused (CONFLICT) where there
    is one, Malformed for a name that is none.
    """
    state_folder(folder)
    key = ed25519.Ed25519PrivateKey.generate()
    known = witness_key(name, key.public_key())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        make_private(folder / _KEY, pem)
    except FileExistsError as error:
        hint = f"framegate witness show --state {shlex.quote(str(folder))}"
        raise Refused.of(Reason.CONFLICT, "a folder without a key", folder / _KEY, hint) from error
    write_private(folder / _NAME, name.encode())
    return known


def watch_log(folder: Path, key: NoteKey) -> bool:
    """From its next start this witness cosigns heads that `key` signed; whether that is new.

    Raises Malformed for a cosigner's key, Unavailable without a witness's folder.
    """
    if key.kind == KeyType.COSIGNATURE:
        hint = "framegate log key prints it"
        raise Malformed.of(Reason.USAGE, "the key of a log", "one of a witness", hint)
    _named(folder)
    known = _logs(folder)
    if key in known:
        return False
    if len(known) >= MAX_LOGS:
        raise Refused.of(Reason.CONFLICT, f"at most {MAX_LOGS} logs", len(known))
    text = "".join(f"{k.text}\n" for k in (*known, key))
    write_private(folder / _LOGS, text.encode())
    return True


def shown(folder: Path) -> tuple[NoteKey, tuple[Watched, ...]]:
    """The witness of `folder`, and what it watches; asks for no lock. Raises Unavailable."""
    closed_folder(folder)
    known = witness_key(_named(folder), _key(folder).public_key())
    watched = []
    for key in _logs(folder):
        kept = _kept(folder, key.name)
        watched.append(Watched(key, kept.head if kept else None, kept.at_s if kept else 0))
    return known, tuple(watched)


class WitnessState:
    """A witness at work. One process at a time has its folder. `clock` gives seconds since the
    epoch; `also` is a file on another disk that gets every head as well, by which a folder that was
    put back from a copy is told.
    """

    def __init__(
        self, folder: Path, also: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises Refused (CONFLICT) where another process runs it, (WITNESS_BEHIND) where `also`
        knows of later heads than the folder does; Malformed, Unavailable.
        """
        closed_folder(folder)
        self.name, self._key = _named(folder), _key(folder)
        try:
            self._lock = hold(folder / _LOCK)
        except BlockingIOError as error:
            wanted, hint = f"{folder} free", "two that sign with one key could be shown two logs"
            raise Refused.of(Reason.CONFLICT, wanted, "another witness runs it", hint) from error
        self._folder, self._also, self._clock = folder, also, clock
        self._logs = _logs(folder)
        private_folder(folder / "heads")
        private_folder(folder / "forks")
        self._last = {k.name: _kept(folder, k.name) for k in self._logs}
        self._signing = threading.Lock()
        try:
            self._require_latest()
        except BaseException:
            self.close()
            raise

    @property
    def key(self) -> NoteKey:
        """What this witness is known by."""
        return witness_key(self.name, self._key.public_key())

    @property
    def origins(self) -> tuple[str, ...]:
        """The logs that it watches."""
        return tuple(dict.fromkeys(k.name for k in self._logs))

    def cosign(self, submission: Submission) -> str:
        """The line of the cosignature, after the head was made durable as the last one.

        Raises Declined; Unavailable where the disk has no room, or the clock went back behind the
        last cosignature: nothing was signed then.
        """
        with self._signing:  # check, write and sign: nobody between them
            origin = submission.note.text.partition("\n")[0]
            kept = self._last.get(origin)
            try:
                head = require_consistent(submission, self._logs, kept.head if kept else None)
            except Declined as declined:
                if declined.forked and kept is not None:
                    self._keep_fork(kept, submission)
                raise
            at_s = int(self._clock())
            if kept is not None and at_s < kept.at_s:
                wanted = f"a clock past the last cosignature, {kept.at_s}"
                raise Unavailable.of(Reason.UNAVAILABLE, wanted, at_s, "set this machine's clock")
            line = cosign(submission.note.text, self.name, self._key, at_s)
            keeping = _Kept(head, at_s, submission.note.data)
            keep_private(_head_file(self._folder, head.origin), keeping.data)
            self._last[head.origin] = keeping
            self._keep_also(keeping)
            return line

    def close(self) -> None:
        """Leave the folder to others."""
        os.close(self._lock)

    def _keep_also(self, kept: _Kept) -> None:
        if self._also is None:
            return
        try:
            with os.fdopen(append_public(self._also), "ab") as out:
                out.write(kept.line)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            wanted, hint = f"room to write {self._also}", "make room; it goes on by itself"
            came = error.strerror or error
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, came, hint) from error

    def _keep_fork(self, kept: _Kept, submission: Submission) -> None:
        folder = self._folder / "forks"
        name = sha256(submission.note.data).hexdigest()[:32]
        if not (folder / name).exists() and len(list(folder.iterdir())) < MAX_FORKS:
            both = {"cosigned": kept.note.decode(), "submitted": submission.note.data.decode()}
            write_private(folder / name, json.dumps(both, indent=1).encode())
        log.error(
            "%s has two histories: another head of %d entries than was cosigned; both in %s",
            kept.head.origin,
            kept.head.size,
            folder / name,
        )

    def _require_latest(self) -> None:
        if self._also is None or not self._also.exists():
            return
        for kept in _lines(self._also):
            own = self._last.get(kept.head.origin)
            size = own.head.size if own is not None else 0
            if size < kept.head.size:
                wanted = f"{kept.head.size} entries of {kept.head.origin}, as {self._also} has"
                hint = "this folder is an old copy: put back the newest, or begin with another key"
                raise Refused.of(Reason.WITNESS_BEHIND, wanted, size, hint)


@dataclass(frozen=True, slots=True)
class _Kept:
    head: TreeHead
    at_s: int
    note: bytes

    @property
    def data(self) -> bytes:
        return json.dumps({"at_s": self.at_s, "note": self.note.decode()}).encode()

    @property
    def line(self) -> bytes:
        return self.data + b"\n"


def _parse_kept(data: bytes, where: Path) -> _Kept:
    try:
        body = json.loads(data)
        note, at_s = str(body["note"]).encode(), int(body["at_s"])
    except (ValueError, KeyError, TypeError) as error:
        hint = "it was edited or cut: put back the newest copy, or begin with another key"
        raise Malformed.of(Reason.MALFORMED, f"a head in {where}", type(error), hint) from error
    return _Kept(parse_head(parse_note(note).text), at_s, note)


def _lines(path: Path) -> list[_Kept]:
    """The last heads in a file that only grows: its end alone is read."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_KEPT_BYTES))
        lines = file.read().split(b"\n")
    cut = lines[1:] if path.stat().st_size > MAX_KEPT_BYTES else lines
    return [_parse_kept(line, path) for line in cut if line]


def _kept(folder: Path, origin: str) -> _Kept | None:
    path = _head_file(folder, origin)
    return _parse_kept(path.read_bytes(), path) if path.exists() else None


def _head_file(folder: Path, origin: str) -> Path:
    """A name that no origin can lead out of the folder with."""
    return folder / "heads" / sha256(origin.encode()).hexdigest()[:32]


def _named(folder: Path) -> str:
    try:
        return (folder / _NAME).read_text().strip()
    except OSError as error:
        hint = f"framegate witness init --state {shlex.quote(str(folder))} --name NAME"
        raise Unavailable.of(
            Reason.USAGE, f"a witness in {folder}", error.strerror, hint
        ) from error


def _key(folder: Path) -> ed25519.Ed25519PrivateKey:
    path = folder / _KEY
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise Unavailable.of(Reason.USAGE, f"a key in {path}", error.strerror) from error
    except UNREADABLE as error:
        raise Malformed.of(Reason.USAGE, f"a key in {path}", type(error).__name__) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise Malformed.of(Reason.USAGE, f"an Ed25519 key in {path}", type(key).__name__)
    return key


def _logs(folder: Path) -> tuple[NoteKey, ...]:
    path = folder / _LOGS
    if not path.exists():
        return ()
    return tuple(parse_note_key(line) for line in path.read_text().splitlines() if line.strip())
