"""A bundle for whoever helps: what a program is, its settings, what its service manager and its log
say. No key, no registry, no picture, and no credential that a log or a setting may name.
"""

# annotations are evaluated where they stand: the command is made for each program

import io
import json
import os
import platform
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.redaction import redacted
from framegate_host.console import safe, talk
from framegate_host.private_files import creating_private
from framegate_host.setting_commands import settings_json
from framegate_host.setting_flags import config_option
from framegate_host.setting_records import Settings
from framegate_host.settings import Given, resolve

LINES: Final = 5_000
"""Of the log: some hours of a busy gateway."""
PATIENCE_S: Final = 20.0
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", re.DOTALL)
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43,}={0,2}(?![A-Za-z0-9])")
"""As long as a key, a ticket, a code or a signature in base64."""
_NAME: Final = r"\b\w*(?:passw(?:or)?d|passphrase|secret|token|api_?key)(?!\w*file)\w*="
_ASSIGNED: Final = re.compile(
    rf"(?i)((?<=[\"']){_NAME})[^\"'\n]+"
    rf"|({_NAME}[\"']?)[^\"'\s/][^\"'\s]*"
    r"|(SetCredential\w*=[^:\n]+:).+"
)
"""What somebody's drop-in hands to a program, quoted or not: no setting of ours holds a secret, and
a file that is named tells nothing.
"""
_CAPITAL: Final = re.compile(r"[A-Z]")
"""All of those have one; paths and digests in hex, which help, have none."""


def support_command(record: type[Settings]) -> Callable[..., None]:
    """The command `support` of a program."""

    def support(
        out: Annotated[Path, typer.Option(help="The file to write (tar); it must not exist.")],
        file: Annotated[Path | None, config_option(record)] = None,
    ) -> None:
        """Write a bundle for whoever helps: versions, settings, service and log, without secrets.

        Look into it before it leaves the house: names of machines and people are in it.
        """
        parts = bundle_parts(record, file)
        with creating_private(out) as target, tarfile.TarFile(fileobj=target, mode="w") as tar:
            for name, text in parts.items():
                data = text.encode()
                about = tarfile.TarInfo(f"framegate-{record.PROGRAM}/{name}")
                about.size, about.mtime, about.mode = len(data), int(time.time()), 0o600
                tar.addfile(about, io.BytesIO(data))
        talk.print(f"{safe(out)}: {', '.join(parts)}; look into it before it leaves the house")

    return support


def bundle_parts(record: type[Settings], file: Path | None) -> Mapping[str, str]:
    """Every part by its name, without secrets."""
    resolved = resolve(record, Given(file, os.environ))
    unit = f"framegate-{record.PROGRAM}.service"
    log = ("journalctl", "--no-pager", "-o", "short-iso", "-n", str(LINES), "-u", unit)
    problems = [str(problem) for problem in resolved.problems]
    parts = {
        "versions.txt": _versions(),
        "settings.json": _json({"settings": settings_json(resolved), "problems": problems}),
        "service.txt": _said("systemctl", "status", "--no-pager", "-n", "0", unit),
        "unit.txt": _said("systemctl", "cat", unit),
        "log.txt": _said(*log),
    }
    return {name: without_secrets(text) for name, text in parts.items()}


def without_secrets(text: str) -> str:
    """`text` without credentials of addresses, PEM, what names that say so are given, and whatever
    looks like a key or a code.
    """
    text = _PEM.sub("(PEM left out)", redacted(text))
    text = _ASSIGNED.sub(r"\1\2\3(left out)", text)
    return _LONG.sub(lambda m: "(left out)" if _CAPITAL.search(m[0]) else m[0], text)


def _versions() -> str:
    installed = sorted({f"{d.metadata['Name']} {d.version}" for d in distributions()})
    system = f"{platform.platform()}\nPython {platform.python_version()}\n"
    return system + "\n".join(installed) + "\n"


def _said(*argv: str) -> str:
    """What a program of the system says; why it says nothing."""
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]}: {type(error).__name__}\n"
    return done.stdout or done.stderr


def _json(body: Any) -> str:
    return json.dumps(body, indent=1) + "\n"
