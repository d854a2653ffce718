"""Options that several commands have, and what they name."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Malformed, Reason
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE
from framegate_host import console
from framegate_host.console import OutputFormat, service_exit_code

_SIZE = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
BundleOption = Annotated[
    Path,
    typer.Option(
        "--bundle",
        help="Model bundle's folder; default: the shipped one, which is also called default.",
    ),
]
Output = OutputFormat
Threads = Annotated[int, typer.Option("--threads", min=1, max=64, help="Threads of the model.")]


def errors() -> contextlib.AbstractContextManager[None]:
    """Errors as sentences on standard error and as exit codes."""
    return console.errors(service_exit_code())


def bundle_folder(named: Path) -> Path:
    """The folder of a bundle by its name, `default` being the shipped one."""
    return DEFAULT_BUNDLE if named == Path("default") and not named.exists() else named


def split_file(folder: Path, split: Path | None) -> Path | None:
    """The split file as given, or of that name in the folder."""
    return (
        split
        if split is None or split.exists() or not (folder / split).exists()
        else folder / split
    )


def picture_size(said: str) -> tuple[int, int] | None:
    """Width and height as WxH says them, None for "". Raises Malformed (USAGE)."""
    if not said:
        return None
    match = _SIZE.fullmatch(said)
    if match is None:
        raise Malformed.of(Reason.USAGE, "--size WxH", ascii(said)[:40], "--size 640x640")
    return int(match[1]), int(match[2])
