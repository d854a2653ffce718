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
SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")
DPKG: Final = "/var/lib/dpkg"


def allowlist_of(package: Path) -> bytes:
    """The allowlist of a .deb: its files, and the scripts that dpkg runs when it is installed and
    removed. Configuration is not in it: every machine has its own.
    """
    name = _told("dpkg-deb", "--field", package, "Package").decode().strip()
    files = _files(_told("dpkg-deb", "--fsys-tarfile", package))
    return allowlist_text([*files, *_scripts(name, _told("dpkg-deb", "--ctrl-tarfile", package))])


def _told(*argv: object) -> bytes:
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True).stdout


def _scripts(name: str, tar: bytes) -> Iterator[AllowedFile]:
    """Where dpkg runs a script from: before it is installed, and after."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            script = member.name.removeprefix("./")
            content = archive.extractfile(member) if script in SCRIPTS else None
            if content is None:
                continue
            digest = hashlib.sha256(content.read()).digest()
            before = f"{DPKG}/tmp.ci/{script}"  # noqa: S108 - dpkg's own place
            for where in (before, f"{DPKG}/info/{name}.{script}"):
                yield AllowedFile("sha256", digest, where.encode())


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
