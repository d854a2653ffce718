"""What IMA measures of a package's files: an allowlist, so that what is released is known to every
fleet's rules on the day it is released.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from framegate.ima.allowlist import AllowedFile, allowlist_text

MERGED: Final = ("bin/", "sbin/", "lib/")
"""Folders that are links into /usr: the kernel names a file by where it is."""


def allowlist_of(package: Path) -> bytes:
    """The allowlist of a .deb. Configuration is not in it: every machine has its own."""
    tar = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True
    ).stdout
    return allowlist_text(_files(tar))


def _files(tar: bytes) -> Iterator[AllowedFile]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            path = member.name.removeprefix("./")
            if path.startswith("etc/"):
                continue
            where = f"/usr/{path}" if path.startswith(MERGED) else f"/{path}"
            digest = hashlib.sha256(content.read()).digest()
            yield AllowedFile("sha256", digest, where.encode())
