"""Pictures of sound parts, which part each shows, and which of them are kept back from learning."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Refused
from framegate.wire import sha256
from framegate_gateway.inference.decoding import decode_colour
from framegate_models.picture_files import picture_paths, reading

MIN_SOUND: Final = 20
"""Pictures of sound parts to learn from: of fewer nobody can tell what is usual."""
MAX_SOUND: Final = 2_000
"""More tell nothing new of one part and fill the memory."""
PART_HINT: Final = "--part 'num_([0-9]+)'"
NAMED_DIGITS: Final = 16
"""Hexadecimal digits of a picture's digest by which a card names it."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One picture of a sound part: its name, the part that it shows, the digest of its file, and
    the picture, (h, w, 3) uint8 BGR.
    """

    name: str
    part: str
    digest: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Split:
    """What is learned from, and what is kept back to measure the promise on; no part is on both
    sides.
    """

    learned: tuple[Sound, ...]
    kept_back: tuple[Sound, ...]


def mask_of(path: Path, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where the picture at `path` is defective, (h, w) as its `size`, by a mask of its name beside
    it; None where there is none. Raises Malformed (DATA_SET) for a mask of another size.
    """
    beside = path.with_suffix(".png")
    if beside == path or not beside.is_file():
        return None
    try:
        mask = cv2.imdecode(np.frombuffer(beside.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # empty, or of a claimed size that no memory holds
        mask = None
    if mask is None or mask.shape != size:
        came = "no picture" if mask is None else f"{mask.shape[1]}x{mask.shape[0]}"
        raise Malformed.of(Reason.DATA_SET, f"a mask of {size[1]}x{size[0]}", f"{beside}: {came}")
    return np.asarray(mask > 0)


def read_sound(folder: Path, part_pattern: str = "") -> list[Sound]:
    """The pictures below a folder. Which part one shows, the first group of `part_pattern` says
    where it matches the file's name; else each shows one of its own.

    Raises Unavailable or Refused (DATA_SET), Malformed (IMAGE) for a file that is no picture.
    """
    pattern = _pattern(part_pattern)
    paths = picture_paths(folder)
    if not MIN_SOUND <= len(paths) <= MAX_SOUND:
        raise Refused.of(
            Reason.DATA_SET,
            f"{MIN_SOUND} to {MAX_SOUND} pictures of sound parts in {folder}",
            len(paths),
            "what is usual is learned from many; one picture a part is enough",
        )
    return [_sound(path, pattern) for path in paths]


def _sound(path: Path, pattern: re.Pattern[str] | None) -> Sound:
    data = path.read_bytes()
    match = pattern.search(path.name) if pattern else None
    part = match[1] if match else path.name
    with reading(path):
        picture = decode_colour(data)
    return Sound(path.name, part, sha256(data).hex()[:NAMED_DIGITS], picture)


def _pattern(said: str) -> re.Pattern[str] | None:
    if not said:
        return None
    try:
        pattern = re.compile(said)
    except re.error as error:
        came = f"{said!a}: {error}"[:120]
        raise Malformed.of(Reason.USAGE, "--part PATTERN", came, PART_HINT) from error
    if pattern.groups != 1:
        came = f"{pattern.groups} in {said!a}"[:120]
        raise Malformed.of(Reason.USAGE, "--part with one group", came, PART_HINT)
    return pattern


def lot(part: str) -> float:
    """A number in [0, 1) that a part always draws: who is kept back does not change when pictures
    are added.
    """
    return int(hashlib.sha256(part.encode()).hexdigest()[:12], 16) / 16**12


def split_by_part(pictures: Sequence[Sound], share: float) -> Split:
    """`share` of the parts kept back, by lot. Raises Refused (DATA_SET) where too few are left."""
    parts = sorted({one.part for one in pictures}, key=lot)
    back = set(parts[: round(share * len(parts))])
    learned = tuple(one for one in pictures if one.part not in back)
    if len(learned) < MIN_SOUND * 3 // 4:
        raise Refused.of(
            Reason.DATA_SET,
            f"{MIN_SOUND * 3 // 4} pictures left to learn from",
            len(learned),
            "more parts, or a smaller --keep-back",
        )
    return Split(learned, tuple(one for one in pictures if one.part in back))


def folds_of(parts: Iterable[str], folds: int) -> list[int]:
    """For each picture, by the part it shows, which of `folds` it is in; as even as parts allow."""
    named = list(parts)
    order = {part: rank for rank, part in enumerate(sorted(set(named), key=lot))}
    return [order[part] % folds for part in named]
