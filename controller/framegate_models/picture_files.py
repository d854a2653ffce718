"""Pictures in folders that a person names: which files are some, and which one something is wrong
with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason, Unavailable

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg"})


def require_folder(folder: Path) -> None:
    """Raises Unavailable (DATA_SET) where there is no such folder."""
    if not folder.is_dir():
        seen = f"a file, {folder}" if folder.exists() else f"none at {folder}"
        hint = "name the folder that the JPEG or PNG files are in"
        raise Unavailable.of(Reason.DATA_SET, "a folder of pictures", seen, hint)


def picture_paths(folder: Path) -> list[Path]:
    """Files of pictures below a folder, in order of name; what is a mask (`X.png` beside `X.jpg`)
    is none. Raises as `require_folder`.
    """
    require_folder(folder)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    photographs = {p.with_suffix("") for p in paths if p.suffix.lower() in {".jpg", ".jpeg"}}
    return [p for p in paths if p.suffix.lower() != ".png" or p.with_suffix("") not in photographs]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is found wrong with the picture at `path` while it is read names the file."""
    try:
        yield
    except Malformed as error:
        first, *others = error.failures
        hint = first.hint or "take it out of the folder, or put the picture in its place"
        named = replace(first, actual=f"{path}: {first.actual}", hint=hint)
        raise Malformed([named, *others]) from error
