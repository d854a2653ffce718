"""Sessions whose heads are owed: what was sealed and answered, on disk as it happens, so that a
camera process that dies still signs for its frames.

The TLS key is the same for every agent process of one boot, so the next process can sign what the
last one sealed. After a reboot that key is gone and so is the proof: those frames' receipts say
that the camera has not signed. Nothing is synced; only a power cut loses the tail.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from framegate.record.merkle import packed_tree
from framegate.wire import FrameHead, sha256
from framegate_agent.signing import KeyInTpm, sign_head
from framegate_host.private_files import append_private, private_folder
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
KEPT: Final = 64
"""Sessions that may be owed: half an hour of them; the oldest go first."""
MAX_UNANSWERED: Final = 1024
"""Counters that a head has room for; a camera has sixteen frames on the way."""
_SEALED, _ANSWERED = b"L", b"A"


@dataclass
class OwedSession:
    """One session: which gateway's, what was sealed (leaf hashes, 32 bytes each), which counters
    have had no answer.

    `live`: frames are still sealed in it, so its head is not due.
    """

    host: str
    session: bytes
    device: str
    info: bytes
    leaves: bytearray = field(default_factory=bytearray)
    unanswered: set[int] = field(default_factory=set)
    signed: pb.SignedHead | None = None
    live: bool = False
    _file: int = -1

    @property
    def count(self) -> int:
        """Frames sealed."""
        return len(self.leaves) // 32

    def sealed(self, leaf: bytes) -> None:
        """A frame was sealed under the next counter."""
        self.unanswered.add(self.count)
        self.leaves += leaf
        self._note(_SEALED + leaf)

    def answered(self, counter: int) -> None:
        """The gateway answered that frame."""
        self.unanswered.discard(counter)
        self._note(_ANSWERED + struct.pack(">I", counter))

    def _note(self, record: bytes) -> None:
        """Write a record for a process that comes after a kill. Where the disk has no room, none is
        left at all: a head over some of the frames would accuse the gateway of the others.
        """
        if self._file < 0:
            return
        try:
            whole = os.write(self._file, record) == len(record)
        except OSError:
            whole = False
        if not whole:
            log.error("heads: no room on the disk; after a kill this session has no head")
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1


class HeadSpool:
    """Owed sessions in `folder`, of the key whose SubjectPublicKeyInfo is `spki`; those of another
    key are dropped, nobody can sign for them.
    """

    def __init__(self, folder: Path, spki: bytes) -> None:
        self._folder, self._spki = folder, sha256(spki).hex()
        private_folder(folder)
        self.owed: dict[bytes, OwedSession] = {}
        for path in sorted(folder.glob("*.frames"), key=lambda p: p.stat().st_mtime):
            left = self._load(path)
            if left is None:
                path.unlink()
            else:
                self.owed[left.session] = left

    def begin(self, host: str, session: bytes, device: str, info: bytes) -> OwedSession:
        """A session that frames are sealed in from now on."""
        while len(self.owed) >= KEPT:
            self.paid(next(iter(self.owed)))
        owed = OwedSession(host, session, device, info, live=True)
        head = (
            json.dumps(
                {"host": host, "device": device, "info": info.hex(), "spki": self._spki}
            ).encode()
            + b"\n"
        )
        self._keep(owed, head)
        self.owed[session] = owed
        return owed

    def _keep(self, owed: OwedSession, head: bytes) -> None:
        """Begin the session's file. A disk that is full, or a folder that somebody removed, costs
        what a kill would leave of this session, and not the camera.
        """
        path = self._path(owed.session)
        try:
            private_folder(self._folder)
            owed._file = append_private(path)
            whole = os.write(owed._file, head) == len(head)
        except OSError as error:
            log.error("heads: %s: %s; after a kill this session has no head", path, error.strerror)
            whole = False
        if not whole and owed._file >= 0:
            os.close(owed._file)
            owed._file = -1
            path.unlink(missing_ok=True)

    def paid(self, session: bytes) -> None:
        """The gateway has this session's head, or there is none to give."""
        owed = self.owed.pop(session, None)
        if owed is not None and owed._file >= 0:
            os.close(owed._file)
            owed._file = -1  # an answer that comes after its head was taken is not written anywhere
        with contextlib.suppress(OSError):  # a disk that takes nothing gives nothing back either
            self._path(session).unlink(missing_ok=True)

    def _path(self, session: bytes) -> Path:
        return self._folder / f"{session.hex()}.frames"

    def _load(self, path: Path) -> OwedSession | None:
        """A session that an earlier process left; a record that was cut off at the end is not
        there.
        """
        head, _, records = path.read_bytes().partition(b"\n")
        try:
            body = json.loads(head)
            owed = OwedSession(
                body["host"], bytes.fromhex(path.stem), body["device"], bytes.fromhex(body["info"])
            )
            mine = body["spki"] == self._spki
        except (ValueError, KeyError, TypeError):
            return None
        at = 0
        while at < len(records):
            kind, size = records[at : at + 1], 33 if records[at : at + 1] == _SEALED else 5
            if len(records) - at < size:
                break
            if kind == _SEALED:
                owed.sealed(records[at + 1 : at + 33])
            else:
                owed.unanswered.discard(struct.unpack(">I", records[at + 1 : at + 5])[0])
            at += size
        return owed if mine and owed.count else None


def sign_owed(owed: OwedSession, key: KeyInTpm, now_ms: int) -> pb.SignedHead:
    """The session's head, signed once and kept. Blocks for one TPM signature."""
    if owed.signed is None:
        leaves = bytes(owed.leaves)
        record = FrameHead(
            session=owed.session,
            device=owed.device,
            opening_info=owed.info,
            count=owed.count,
            root=packed_tree(leaves).root,
            unanswered=b"".join(
                c.to_bytes(4, "big") for c in sorted(owed.unanswered)[:MAX_UNANSWERED]
            ),
            signed_at_ms=now_ms,
        ).marshal()
        owed.signed = pb.SignedHead(head=record, signature=sign_head(key, record), leaves=leaves)
    return owed.signed
