"""Layouts: in which tensors, of which shapes, networks of the usual makes give their answers.

Data alone, for the gateway's own process too: no array is touched here. What the numbers mean is
read by `boxes_of_layouts` and `region_answers`, in the inference child.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MASK_NUMBERS: Final = 32
"""Of a box, by which an instance's mask is mixed from as many prototypes (YOLACT, Bolya et al.
2019), as YOLO exports them.
"""
ANY: Final = -1
"""A side that differs from frame to frame: how many boxes a network with NMS inside gives."""
_SIDE: Final = re.compile(r"\*|c(?:\+([0-9]+))?|[0-9]+")


class Kind(StrEnum):
    """What a bundle's network does with a frame; values are wire values."""

    PAIR = "pair"
    DETECTION = "detection"
    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"
    ANOMALY = "anomaly"


@dataclass(frozen=True, slots=True)
class Role:
    """One output of a layout: what it is, and the shapes that it may have, outermost side first: a
    number, `*` for any, `c` for as many as there are classes, `c+1` for one more.
    """

    what: str
    shapes: tuple[str, ...]
    integer: bool = False
    """Whether it may hold integers; it may hold floating-point numbers in any case."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A network's answer: of which kind of bundle, in words, its outputs in order, and what turns
    them into scores.
    """

    name: str
    kind: Kind
    words: str
    roles: tuple[Role, ...]
    activations: tuple[str, ...]

    @property
    def has_masks(self) -> bool:
        """Whether each box comes with the numbers of a mask."""
        return _PROTOTYPES in self.roles


_PROTOTYPES: Final = Role("mask prototypes", (f"1 {MASK_NUMBERS} * *",))
_BOXES: Final = Role("boxes", ("1 * 4", "* 4"))
_SCORES: Final = Role("scores", ("1 *", "*"))
_LABELS: Final = Role("classes", ("1 *", "*"), integer=True)
LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(
                "yolov5",
                Kind.DETECTION,
                "YOLOv5, v7, X: a row for each box with objectness and class scores; overlaps are"
                " merged here",
                (Role("rows", ("1 * c+5",)),),
                ("none", "sigmoid"),
            ),
            Layout(
                "yolov8",
                Kind.DETECTION,
                "YOLOv8 to v12: a column for each box with class scores; overlaps are merged here",
                (Role("columns", ("1 c+4 *",)),),
                ("none", "sigmoid"),
            ),
            Layout(
                "yolov10",
                Kind.DETECTION,
                "YOLOv10 and exports with NMS inside: corners, score, class in each row",
                (Role("rows", ("1 * 6",)),),
                ("none",),
            ),
            Layout(
                "yolov5-seg",
                Kind.DETECTION,
                "YOLOv5-seg and v7-seg: as yolov5, with a mask for each box",
                (Role("rows", (f"1 * c+{5 + MASK_NUMBERS}",)), _PROTOTYPES),
                ("none", "sigmoid"),
            ),
            Layout(
                "yolov8-seg",
                Kind.DETECTION,
                "YOLOv8-seg to v12-seg: as yolov8, with a mask for each box",
                (Role("columns", (f"1 c+{4 + MASK_NUMBERS} *",)), _PROTOTYPES),
                ("none", "sigmoid"),
            ),
            Layout(
                "yolov10-seg",
                Kind.DETECTION,
                "instance masks exported with NMS inside: as yolov10, with a mask for each box",
                (Role("rows", (f"1 * {6 + MASK_NUMBERS}",)), _PROTOTYPES),
                ("none",),
            ),
            Layout(
                "yolov7-nms",
                Kind.DETECTION,
                "YOLOv7 with NMS inside: image, corners, class, score in each row",
                (Role("rows", ("* 7",)),),
                ("none",),
            ),
            Layout(
                "detr",
                Kind.DETECTION,
                "DETR: queries, the class after the last meaning nothing",
                (Role("logits", ("1 * c+1",)), Role("boxes", ("1 * 4",))),
                ("softmax",),
            ),
            Layout(
                "detr-sigmoid",
                Kind.DETECTION,
                "Deformable, RT- and RF-DETR: queries, a probability for each class",
                (Role("logits", ("1 * c",)), Role("boxes", ("1 * 4",))),
                ("sigmoid", "none"),
            ),
            Layout(
                "boxes-scores-labels",
                Kind.DETECTION,
                "torchvision, RT-DETR with its postprocessor: boxes, scores and classes apart",
                (_BOXES, _SCORES, _LABELS),
                ("none",),
            ),
            Layout(
                "counted",
                Kind.DETECTION,
                "TensorFlow and TensorRT: how many, then boxes, scores and classes with room to"
                " spare",
                (Role("number", ("1", "1 1"), integer=True), _BOXES, _SCORES, _LABELS),
                ("none",),
            ),
            Layout(
                "scores",
                Kind.CLASSIFICATION,
                "a score for each class",
                (Role("scores", ("1 c", "c")),),
                ("softmax", "sigmoid", "none"),
            ),
            Layout(
                "maps",
                Kind.SEGMENTATION,
                "a map for each class",
                (Role("maps", ("1 c * *", "c * *")),),
                ("softmax", "sigmoid", "none"),
            ),
            Layout(
                "labels",
                Kind.SEGMENTATION,
                "one map with the class of each pixel",
                (Role("classes", ("1 * *", "1 1 * *"), integer=True),),
                ("none",),
            ),
            Layout(
                "anomalib",
                Kind.ANOMALY,
                "Anomalib 2: a score and a heat map",
                (Role("score", ("1", "1 1", "")), Role("heat map", ("1 1 * *", "1 * *"))),
                ("none", "sigmoid"),
            ),
            Layout(
                "heat",
                Kind.ANOMALY,
                "a heat map alone, whose hottest point is the score",
                (Role("heat map", ("1 1 * *", "1 * *")),),
                ("none", "sigmoid"),
            ),
        )
    }
)
"""By name, as a recipe has it."""


def layouts_of(kind: Kind) -> tuple[Layout, ...]:
    """The layouts of one kind of bundle, in the order in which they are tried on a file."""
    return tuple(layout for layout in LAYOUTS.values() if layout.kind == kind)


def fits(role: Role, shape: Sequence[int], classes: int) -> bool:
    """Whether a tensor of this shape, `ANY` for sides that vary, can be `role` for so many
    classes.
    """
    return pattern_of(role, shape, classes) is not None


def pattern_of(role: Role, shape: Sequence[int], classes: int) -> tuple[str, ...] | None:
    """The first of the role's shapes that this one fits, side by side; None where none does."""
    patterns = (tuple(pattern.split()) for pattern in role.shapes)
    return next((p for p in patterns if _fits(p, shape, classes)), None)


def _fits(pattern: Sequence[str], shape: Sequence[int], classes: int) -> bool:
    return len(pattern) == len(shape) and all(
        given == ANY or wanted == "*" or given == _side(wanted, classes)
        for wanted, given in zip(pattern, shape, strict=True)
    )


def _side(wanted: str, classes: int) -> int:
    match = _SIDE.fullmatch(wanted)
    if match is not None and wanted.startswith("c"):
        return classes + int(match[1] or 0)
    return int(wanted)


def shapes_in_words(role: Role, classes: int) -> str:
    """`1 x 300 x 4`-like shapes that `role` may have, for a message."""
    return " or ".join(
        f"({', '.join('any' if s == '*' else str(_side(s, classes)) for s in pattern.split())})"
        for pattern in role.shapes
    )
