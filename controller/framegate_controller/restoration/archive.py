"""A backup as one private file: a tar archive with a signed manifest, the registry, and the keys as
they lie in their folder, encrypted. The passphrase that they are encrypted with is never in it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.signed.backup import BackupFile, BackupManifest
from framegate.signed.dsse import MAX_ENVELOPE_BYTES
from framegate_host.private_files import PRIVATE_FILE, creating_private, private_folder

MANIFEST: Final = "manifest.json"
CHUNK: Final = 1024 * 1024
_DAMAGED: Final = "it was damaged or edited; take another backup"


def describe_file(path: Path, name: str) -> BackupFile:
    """Size and digest of the file at `path`, which a backup holds as `name`."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return BackupFile(name, size, digest.hexdigest())


def write_archive(path: Path, manifest: bytes, files: Mapping[str, Path]) -> None:
    """Write a backup at `path`, where nothing is: the manifest's envelope, then `files` by name.

    It is its owner's alone from the first byte on, and on the disk once this returns. Raises
    FileExistsError.
    """
    with (
        creating_private(path) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        tar.addfile(_entry(MANIFEST, len(manifest)), io.BytesIO(manifest))
        for name, source in sorted(files.items()):
            with source.open("rb") as content:
                tar.addfile(_entry(name, source.stat().st_size), content)


@contextmanager
def reading(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive at `path`. Raises Malformed (BACKUP) where it is none, or ends early."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, OSError) as error:
        seen = f"{type(error).__name__}: {error}"
        raise Malformed.of(Reason.BACKUP, f"a backup in {path}", seen, _DAMAGED) from error


def read_manifest(tar: tarfile.TarFile) -> bytes:
    """The manifest's envelope, the first thing in a backup. Raises Malformed (BACKUP)."""
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg():
        seen = ascii(member.name)[:80] if member is not None else "nothing"
        raise Malformed.of(Reason.BACKUP, "a backup that begins with its manifest", seen, _DAMAGED)
    content = tar.extractfile(member)
    if content is None or member.size > MAX_ENVELOPE_BYTES:
        wanted = f"a manifest of at most {MAX_ENVELOPE_BYTES} bytes"
        raise Malformed.of(Reason.BACKUP, wanted, member.size, _DAMAGED)
    return content.read()


def unpack(tar: tarfile.TarFile, manifest: BackupManifest, folder: Path) -> None:
    """Write the files of a backup below `folder`, private, each checked as it is written.

    1. an entry is a regular file that the manifest names, and stands once; 2. its size and digest
    are the manifest's; 3. none is missing. Names cannot lead out of the folder: the manifest's own
    check sees to it. Raises Malformed (BACKUP).
    """
    wanted = {file.name: file for file in manifest.parsed_files}
    for member in tar:
        if member.name == MANIFEST and member.offset == 0:
            continue
        file = wanted.pop(member.name, None)
        if file is None or not member.isreg() or member.size != file.size:  # 1
            seen = f"{ascii(member.name)[:80]}, {member.size} bytes"
            raise Malformed.of(Reason.BACKUP, "the manifest's files, each once", seen, _DAMAGED)
        target = folder / file.name
        private_folder(target.parent)
        if _write(tar, member, target) != file.sha256:  # 2
            raise Malformed.of(Reason.BACKUP, f"{file.name} as it was", "other bytes", _DAMAGED)
    if wanted:  # 3
        missing = ", ".join(sorted(wanted)[:3])
        raise Malformed.of(Reason.BACKUP, "every file of the manifest", f"no {missing}", _DAMAGED)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    content, digest = tar.extractfile(member), hashlib.sha256()
    if content is None:
        raise Malformed.of(Reason.BACKUP, f"a file {member.name}", "no content", _DAMAGED)
    with creating_private(target) as out:
        while chunk := content.read(CHUNK):
            out.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, PRIVATE_FILE
    return entry


def rows_of(files: Sequence[BackupFile]) -> tuple[dict[str, object], ...]:
    """Files as a manifest names them."""
    return tuple({"name": f.name, "size": f.size, "sha256": f.sha256} for f in files)
