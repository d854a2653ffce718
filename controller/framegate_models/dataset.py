"""Labelled pairs from a folder in DeepPCB's format.

A split file lists pairs, `IMAGE.jpg ANNOTATION.txt` a line, relative to the folder. Beside the
(absent) IMAGE.jpg lie `IMAGE_test.jpg`, the inspected part, and `IMAGE_temp.jpg`, its golden image;
PNG likewise. An annotation line is `x1 y1 x2 y2 class`, separated by spaces or commas, classes from
1. Source: Tang et al., Online PCB Defect Detector On A New PCB Defect Dataset, arXiv:1902.06197.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bending import register_bent
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.registration import MIN_LIKENESS, reference
from framegate_models.sampling import LabelledPair

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""One image: a hundred times what a frame of this format has."""
MAX_PAIRS: Final = 1_000_000
SPLITS: Final = ("trainval.txt", "train.txt", "split.txt")


@dataclass(frozen=True, slots=True)
class Listed:
    """One pair as a split lists it, with the files it stands for."""

    name: str
    frame: Path
    golden: Path
    annotation: Path


def read_split(folder: Path, split: Path | None = None) -> list[Listed]:
    """The pairs that `split` lists, or the folder's own split file (`SPLITS`), or all `*_test.*`
    there. Raises Malformed naming the line, Unavailable for a missing file.
    """
    if not folder.is_dir():
        raise Unavailable.of(
            Reason.DATA_SET,
            "a folder of labelled pairs",
            f"none at {folder}",
            "framegate-sim boards --count N --out DIR draws one",
        )
    if split is None:
        split = next((folder / name for name in SPLITS if (folder / name).is_file()), None)
    if split is None:
        images = [
            p
            for p in sorted(folder.rglob("*_test.*"))
            if p.suffix.lower() in {".jpg", ".jpeg", ".png"}
        ]
        return [
            _listed(
                folder,
                _stem(p.relative_to(folder)),
                p.with_name(_stem(Path(p.name)) + ".txt"),
                p.suffix,
            )
            for p in images
        ]
    pairs = []
    for number, line in enumerate(_text(split).splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2:
            raise Malformed.of(
                Reason.DATA_SET,
                f"{split.name}, line {number}: IMAGE.jpg ANNOTATION.txt",
                ascii(line[:80]),
            )
        image, annotation = (
            _inside(folder, part, f"{split.name}, line {number}") for part in parts
        )
        pairs.append(
            _listed(
                folder,
                str(image.relative_to(folder.resolve()).with_suffix("")),
                annotation,
                image.suffix,
            )
        )
        if len(pairs) > MAX_PAIRS:
            raise Malformed.of(Reason.DATA_SET, f"at most {MAX_PAIRS} pairs", "more")
    return pairs


def read_pair(listed: Listed, classes: Sequence[str]) -> LabelledPair:
    """One pair, as it lies on disk (not registered). Raises Malformed naming file and line,
    Unavailable for a missing file.
    """
    try:
        golden, frame = decode_gray(_bytes(listed.golden)), decode_gray(_bytes(listed.frame))
    except Malformed as error:
        (why,) = error.failures
        wanted = f"two images of pair {listed.name}, each {why.expected}"
        raise Malformed.of(Reason.DATA_SET, wanted, why.actual, why.hint) from error
    if golden.shape != frame.shape:
        raise Malformed.of(
            Reason.DATA_SET,
            f"{listed.name}: two images of one size",
            f"{frame.shape[1]}x{frame.shape[0]} and {golden.shape[1]}x{golden.shape[0]}",
        )
    boxes, kinds = read_annotation(listed.annotation, len(classes))
    return LabelledPair(listed.name, golden, frame, boxes, kinds)


def read_annotation(path: Path, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (n, 4) float32 and kinds (n,) int64, from 0. Raises Malformed naming the line."""
    boxes, kinds = [], []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            x1, y1, x2, y2, kind = (int(part) for part in line.replace(",", " ").split())
        except ValueError as error:
            raise Malformed.of(
                Reason.DATA_SET, f"{path.name}, line {number}: x1 y1 x2 y2 class", ascii(line[:60])
            ) from error
        if not (0 <= x1 < x2 <= 65_535 and 0 <= y1 < y2 <= 65_535 and 1 <= kind <= classes):
            raise Malformed.of(
                Reason.DATA_SET,
                f"{path.name}, line {number}: a box with x1 < x2, y1 < y2 and a class from 1 to"
                f" {classes}",
                ascii(line[:60]),
            )
        boxes.append((x1, y1, x2, y2))
        kinds.append(kind - 1)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(kinds, np.int64)


def registered(pair: LabelledPair) -> LabelledPair:
    """The pair with its golden image laid under the frame, as inspection will see it; as it was
    where the two are too unlike to be registered.
    """
    moved = register_bent(reference(pair.golden), pair.frame)
    if moved.likeness < MIN_LIKENESS:
        return pair
    return LabelledPair(pair.name, moved.golden, pair.frame, pair.boxes, pair.kinds)


def read_pairs(listed: Sequence[Listed], classes: Sequence[str]) -> Iterator[LabelledPair]:
    """All pairs in order, each registered."""
    for one in listed:
        yield registered(read_pair(one, classes))


def _listed(folder: Path, name: str, annotation: Path, suffix: str) -> Listed:
    return Listed(
        name, folder / f"{name}_test{suffix}", folder / f"{name}_temp{suffix}", annotation
    )


def _stem(path: Path) -> str:
    return str(path.with_suffix("")).removesuffix("_test")


def _inside(folder: Path, name: str, where: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise Malformed.of(Reason.DATA_SET, f"{where}: a path inside {folder}", ascii(name[:80]))
    return path


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Malformed.of(
                Reason.DATA_SET, f"{path.name}: at most {MAX_FILE_BYTES} bytes", path.stat().st_size
            )
        return path.read_bytes()
    except OSError as error:
        raise Unavailable.of(
            Reason.DATA_SET,
            f"the file {path}",
            error.strerror or error,
            "X_test.jpg and X_temp.jpg stand beside each other, X.txt where the split says",
        ) from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise Malformed.of(
            Reason.DATA_SET, f"{path.name}: UTF-8 text", f"byte {error.start}"
        ) from error
