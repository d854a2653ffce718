"""What a backup of a controller's folder holds, signed by the key of its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import Purpose
from framegate.signed.statement import Statement

MAX_FILES: Final = 1_000
"""A fleet has some fifty key files and certificates; rotations leave a few more."""
REGISTRY: Final = "registry.db"
_NAME: Final = re.compile(r"registry\.db|keys/(?!passphrase\Z)[a-z0-9][a-z0-9.-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A file of a backup: `registry.db`, or one below `keys/`, where the passphrase of the keys is
    none of them; size in bytes, SHA-256 in hex.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest(Statement):
    """A backup of the fleet whose root certificate (DER) has the digest `root_sha256`: its `files`
    as {name, size, sha256}, and where the registry stood: size and root of its record, restorations
    before, revision of trust. `key_store` says where its CAs' private keys are.
    """

    fleet: str
    root_sha256: str
    files: tuple[dict[str, Any], ...]
    size: int
    root: str
    restorations: int
    revision: int
    key_store: str
    at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.backup+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LOG

    @classmethod
    def parse_payload(cls, payload: bytes) -> Self:
        """See `Statement.parse_payload`; file names lead nowhere else, and each stands once."""
        parsed = super(BackupManifest, cls).parse_payload(payload)
        names = [file.name for file in parsed.parsed_files]
        if len(set(names)) != len(names) or REGISTRY not in names or len(names) > MAX_FILES:
            raise Malformed.of(Reason.BACKUP, "each file once, a registry among them", len(names))
        return parsed

    @property
    def parsed_files(self) -> tuple[BackupFile, ...]:
        """The files. Raises Malformed (BACKUP)."""
        return tuple(_file(row) for row in self.files)


def _file(row: dict[str, Any]) -> BackupFile:
    name, size, digest = row.get("name"), row.get("size"), row.get("sha256")
    good = (
        set(row) == {"name", "size", "sha256"}
        and type(name) is str
        and _NAME.fullmatch(name) is not None
        and type(size) is int
        and size >= 0
        and type(digest) is str
        and _DIGEST.fullmatch(digest) is not None
    )
    if not good:
        wanted = "a file of a backup with its name, size and digest"
        raise Malformed.of(Reason.BACKUP, wanted, ascii(row)[:120])
    return BackupFile(str(name), int(size or 0), str(digest))
