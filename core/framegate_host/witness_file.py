"""Heads of the log kept outside the store: a file that only grows, and moves itself aside before it
is too large.

On this machine's disk or, better, where this machine cannot change it. `FILE` has the newest heads;
those before are in `FILE.1`, `FILE.2`, …, each a witness file by itself, which nobody writes any
more: they may be packed, or taken elsewhere.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.record.witness import MAX_LINE_BYTES, grown, head_line, parse_head_line
from framegate_host.private_files import append_public, write_public

log = logging.getLogger(__name__)
MOVE_BYTES: Final = 16 * 1024 * 1024
"""From here on a file is moved aside: some 13,000 heads, on a busy record those of eight hours."""
AGAIN_BYTES: Final = 1024 * 1024
"""Where a file could not be moved, heads go on into it; it is tried again so many bytes later."""
MAX_WITNESS_BYTES: Final = 64 * 1024 * 1024
"""Of one file, which is read whole: one that an earlier version let grow is above `MOVE_BYTES`."""
MAX_FILES: Final = 64
"""That are read beside each other, to verify a log against them: a gigabyte, some 800,000 heads."""


def write_head(path: Path, envelope: bytes) -> bool:
    """Append a signed head, unless it is of no more entries than the last; whether it was.

    Durable when it returns. A file that is full is moved aside first. Where the disk has no room
    for all of a line, none of it stays: a torn one could not be told from one that was cut. Raises
    Malformed, OSError.
    """
    last = last_head(path)
    if not grown(last, envelope):
        return False
    if last is not None:
        _move_where_full(path, last)
    line = head_line(envelope) + b"\n"
    # unbuffered, and for everybody who wants to check the log
    with os.fdopen(append_public(path), "wb", buffering=0) as out:
        written = out.write(line)
        if written != len(line):
            out.truncate(out.tell() - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(out.fileno())
    return True


def last_head(path: Path) -> bytes | None:
    """The newest envelope in a witness file, None where there is none.

    Reads its end alone, however long it has grown. Raises Malformed.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_LINE_BYTES))
        lines = file.read().splitlines()
    return parse_head_line(lines[-1], f"the last line of {path}") if lines else None


def read_heads(path: Path) -> list[bytes]:
    """The envelopes in a witness file and in those that were moved aside, oldest first, unverified.
    Raises Malformed, also where they are more than `MAX_FILES`.
    """
    files = [*_moved(path), path]
    if len(files) > MAX_FILES:
        wanted, hint = (
            f"at most {MAX_FILES} files {path}*",
            f"take some elsewhere: {files[0]} first",
        )
        raise Malformed.of(Reason.TOO_LARGE, wanted, str(len(files)), hint)
    return _once(envelope for file in files for envelope in _heads_of(file))


def newest_heads(path: Path, most: int) -> list[bytes]:
    """The last `most` envelopes of `read_heads`, however many files there are. Raises Malformed."""
    heads: list[bytes] = []
    for file in reversed([*_moved(path), path]):
        heads = _once([*_heads_of(file), *heads])
        if len(heads) >= most:
            break
    return heads[-most:]


def _heads_of(path: Path) -> list[bytes]:
    size = path.stat().st_size
    if size > MAX_WITNESS_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a witness file of at most {MAX_WITNESS_BYTES} bytes", size
        )
    lines = path.read_bytes().splitlines()
    return [parse_head_line(line, f"line {n} of {path}") for n, line in enumerate(lines, start=1)]


def _once(envelopes: Iterable[bytes]) -> list[bytes]:
    """A file begins with the head that the one before it ends with."""
    return list(dict.fromkeys(envelopes))


def _moved(path: Path) -> list[Path]:
    """The files that were moved aside, oldest first. What was packed is another's to read."""
    path = path.resolve()
    there = [file for file in path.parent.glob(f"{escape(path.name)}.*") if _number(path, file)]
    return sorted(
        (file for file in there if file.name == f"{path.name}.{_number(path, file)}"),
        key=lambda file: _number(path, file),
    )


def _number(path: Path, file: Path) -> int:
    """Of `FILE.7`, and of what was made of it: `FILE.7.gz`; 0 where it is none of these."""
    named = re.match(r"\.([1-9][0-9]{0,8})(?:\.|$)", file.name.removeprefix(path.name))
    return int(named[1]) if named else 0


def _move_where_full(path: Path, last: bytes) -> None:
    """Give a full file its number, and begin `path` with its last head: at no moment is there no
    file, or one that says less than was witnessed.
    """
    size = path.stat().st_size
    if size < MOVE_BYTES or size % AGAIN_BYTES > MAX_LINE_BYTES:
        return
    path = path.resolve()  # a link stays one
    beside = path.parent.glob(f"{escape(path.name)}.*")
    aside = path.with_name(f"{path.name}.{max((_number(path, f) for f in beside), default=0) + 1}")
    try:
        _second_name(path, aside)
        write_public(path, head_line(last) + b"\n", durable=True)
    except OSError as error:
        # a folder in which nothing may be made: the heads go on into the file that there is
        log.warning("witness %s cannot be moved to %s: %s", path, aside.name, error)


def _second_name(path: Path, aside: Path) -> None:
    """The same file under both names, or a copy where the file system knows no second names."""
    try:
        os.link(path, aside)
    except FileExistsError:
        raise
    except OSError:
        write_public(aside, path.read_bytes(), durable=True)
