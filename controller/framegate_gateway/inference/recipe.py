"""The recipe: what a bundle's network takes and what its answer means, as data that is checked
before anything runs.

A recipe without a kind is a pair's, and one without a payload of pictures. Every other kind says in
`input` how a frame becomes the network's input, and in `output` which tensors come back, in which
of the `layouts`. Pure: the gateway's own process reads recipes, and loads neither runtime nor
decoder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Malformed, Reason, Refused
from framegate.payload.contract import PICTURE_NAME, ExaminedPayload
from framegate.payload.kinds import BUILT_IN
from framegate.payload.picture import PICTURE
from framegate.signed.pin import MODEL_NAMES
from framegate.wire import MAX_FRAME_PIXELS
from framegate_gateway.inference.layouts import ANY, LAYOUTS, Kind, Layout, fits, shapes_in_words

MAX_CLASSES: Final = 256
MAX_SIDE_PX: Final = 4096
"""A side of a network's input: no camera's frame has a longer one."""
MAX_OUTPUT_VALUES: Final = 32 * 1024 * 1024
"""Numbers in one output: twenty maps of a megapixel, 128 MiB of float32."""
MAX_SIDES: Final = 4
BYTES_OF: Final[Mapping[str, int]] = {"float32": 4, "uint8": 1, "int64": 8, "int32": 4}
"""Types of tensors that a recipe may name, and their sizes."""
INPUT_TYPES: Final = frozenset({"float32", "uint8"})
OUTPUT_TYPES: Final = frozenset({"float32", "int64", "int32"})
PLACES: Final = ("registered", "anywhere")
"""Whether a frame must lie like the part's golden image, or may show any piece of a surface; light
and focus are held against the golden image in either case.
"""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a network, outermost side first, `ANY` for a side that varies."""

    name: str
    shape: tuple[int, ...]
    type: str = "float32"


@dataclass(frozen=True, slots=True)
class PictureInput:
    """How a frame becomes the network's input: brought to `width` x `height` by `fit` (`stretch`,
    or `letterbox` with `fill` beside it), in `colour` (rgb, bgr, grey), each value v as
    (v / divide - mean) / deviation, laid out as `nchw`, `nhwc` or `chw` (no batch).
    `sizes` names a second input that is told height and width, "" where there is none.
    """

    name: str
    width: int
    height: int
    layout: str = "nchw"
    colour: str = "rgb"
    type: str = "float32"
    divide: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    fit: str = "stretch"
    fill: int = 114
    sizes: str = ""

    @property
    def channels(self) -> int:
        """Colours of one pixel."""
        return 1 if self.colour == "grey" else 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the input tensor."""
        h, w, c = self.height, self.width, self.channels
        return {"nchw": (1, c, h, w), "nhwc": (1, h, w, c)}.get(self.layout, (c, h, w))


@dataclass(frozen=True, slots=True)
class Output:
    """What the network's answer means.

    `tensors` in the layout's order. `activation` turns numbers into probabilities. Of detections:
    corners as `box` says (xyxy, cxcywh, yxyx), in `units` (pixels of the input, or fractions), the
    class numbered `first_label` being the first; boxes that overlap more than `overlap` are one.
    Of regions: those below `least_px` pixels of the map are none. Of anomalies: raw scores from
    `range` to [0, 1], and from where on heat is a defect.
    """

    layout: str
    tensors: tuple[Tensor, ...]
    activation: str = "none"
    box: str = "xyxy"
    units: str = "pixels"
    first_label: int = 0
    overlap: float = 0.45
    least_px: int = 1
    heat_threshold: float = 0.5
    range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the model is used. `calibration` (slope, offset) turns a raw score's logit into a
    calibrated one's; `threshold` is in calibrated scores. `multiple_px` is a pair's, `input`,
    `output`, `good` (classes that are no defect) and `place` every other kind's. Where the network
    takes another kind of payload than pictures, that is `examined`, and `given` its `input` as it
    stands, which that kind has verified.
    """

    name: str
    version: int
    classes: tuple[str, ...]
    threshold: float
    multiple_px: int = 1
    calibration: tuple[float, float] = (1.0, 0.0)
    kind: Kind = Kind.PAIR
    good: tuple[str, ...] = ()
    place: str = "registered"
    input: PictureInput | None = None
    output: Output | None = None
    examined: ExaminedPayload | None = None
    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    defects: tuple[str, ...] = field(init=False)
    """Classes that are defects: all but the good ones."""

    def __post_init__(self) -> None:
        named = tuple(c for c in self.classes if c not in self.good)
        object.__setattr__(self, "defects", named)

    @property
    def payload(self) -> str:
        """Which kind of payload the network takes."""
        return PICTURE_NAME if self.examined is None else self.examined.name

    @property
    def row(self) -> Tensor:
        """The input of a network that takes no pictures: a row of numbers."""
        return Tensor(str(self.given["name"]), (1, int(self.given["values"])))

    def require_payload(self, encoding: int) -> None:
        """That a frame of this encoding is what the network takes. Raises Refused (PAYLOAD): one
        kind passed off as another is never examined (N202).
        """
        takes = PICTURE if self.examined is None else self.examined
        if encoding not in takes.encodings:
            raise Refused.of(
                Reason.PAYLOAD,
                f"a frame of kind {takes.name}, which the model of this zone takes",
                f"{BUILT_IN.name_of(encoding) or 'another kind'} (encoding {encoding})",
                "cameras and sensors whose evidence differs go in zones of their own",
            )

    @property
    def layout(self) -> Layout:
        """Of a kind that has one. Raises Malformed (MODEL) for a pair."""
        return LAYOUTS[self.picture_output.layout]

    @property
    def bears_heat(self) -> bool:
        """Whether a defect comes with a grid of where in its box it is."""
        if self.kind == Kind.ANOMALY:
            return True
        return self.kind == Kind.DETECTION and self.output is not None and self.layout.has_masks

    @property
    def picture_input(self) -> PictureInput:
        """`input`, of a kind that has one. Raises Malformed (MODEL) for a pair."""
        if self.input is None:
            raise _malformed("a kind with an input of its own", self.kind.value)
        return self.input

    @property
    def picture_output(self) -> Output:
        """`output`, of a kind that has one. Raises Malformed (MODEL) for a pair."""
        if self.output is None:
            raise _malformed("a kind with an output of its own", self.kind.value)
        return self.output

    def takes_output(self, number: int, shape: tuple[int, ...]) -> bool:
        """Whether the output of this number may have come in this shape: one of its role's, with
        the sides that the recipe fixes, and no more numbers than an output may have.
        """
        tensor = self.picture_output.tensors[number]
        return (
            len(shape) == len(tensor.shape)
            and all(said in {ANY, came} for said, came in zip(tensor.shape, shape, strict=True))
            and all(side >= 0 for side in shape)
            and math.prod(shape) <= MAX_OUTPUT_VALUES
            and fits(self.layout.roles[number], shape, len(self.classes))
        )


def verify_recipe(recipe: Recipe) -> Recipe:
    """`recipe`, whose members are of their types, after these checks.

    1. name, version, classes, threshold and calibration are in range, and at least one class is a
       defect;
    2. the input is one that a frame can be brought to;
    3. each output has a shape of its layout for so many classes;
    4. a good frame can be told from one without an answer: where the classes share one
       probability, or each pixel has one, there is a good class; an anomaly is one class.

    Raises Malformed (MODEL).
    """
    slope, offset = recipe.calibration
    if (
        not MODEL_NAMES.fullmatch(recipe.name)
        or not 0 < recipe.version < 2**31
        or not (0 < slope <= 100 and abs(offset) <= 100)
        or not 0 < len(recipe.classes) <= MAX_CLASSES
        or not 0 < recipe.threshold < 1
        or not 1 <= recipe.multiple_px <= 1024
        or len(set(recipe.classes)) != len(recipe.classes)
        or not set(recipe.good) < set(recipe.classes)
    ):  # 1
        raise _malformed(
            "a name of a-z 0-9 . -, a version from 1, classes of which one at least is a defect,"
            " a threshold in (0, 1), multiple_px in 1 to 1024, calibration (slope > 0, offset)",
            ascii(recipe)[:200],
        )
    if recipe.kind != Kind.PAIR:
        if recipe.examined is None:
            _verify_input(recipe.picture_input)
        _verify_output(recipe)
        _verify_good(recipe)
    return recipe


def _verify_input(given: PictureInput) -> None:  # 2
    channels = {1, given.channels}
    if (
        not 0 < len(given.name) <= 200
        or len(given.sizes) > 200
        or not (8 <= given.width <= MAX_SIDE_PX and 8 <= given.height <= MAX_SIDE_PX)
        or given.width * given.height > MAX_FRAME_PIXELS
        or given.layout not in {"nchw", "nhwc", "chw"}
        or given.colour not in {"rgb", "bgr", "grey"}
        or given.type not in INPUT_TYPES
        or given.fit not in {"stretch", "letterbox"}
        or not 0 <= given.fill <= 255
        or not 1e-3 <= given.divide <= 1e6
        or len(given.mean) not in channels
        or len(given.deviation) not in channels
        or any(abs(v) > 1e6 for v in given.mean)
        or any(not 1e-6 <= v <= 1e6 for v in given.deviation)
    ):
        raise _malformed(
            f"an input of 8 to {MAX_SIDE_PX} pixels a side, rgb, bgr or grey, nchw, nhwc or chw,"
            " float32 or uint8, stretch or letterbox, with divide, mean and deviation",
            ascii(given)[:300],
        )
    plain = (given.divide, *given.mean, *given.deviation)
    if given.type == "uint8" and set(plain) - {0.0, 1.0}:
        raise _malformed("an input of uint8 as the frame has it", "divide, mean or deviation")


def _verify_output(recipe: Recipe) -> None:  # 3
    given, kind = recipe.picture_output, recipe.kind
    layout = LAYOUTS.get(given.layout)
    if layout is None or layout.kind != kind:
        known = ", ".join(name for name, one in LAYOUTS.items() if one.kind == kind)
        raise _malformed(f"a layout of {kind}: {known}", ascii(given.layout)[:60])
    if len(given.tensors) != len(layout.roles):
        raise _malformed(
            f"the outputs {', '.join(role.what for role in layout.roles)}", len(given.tensors)
        )
    for role, tensor in zip(layout.roles, given.tensors, strict=True):
        numbers = {"float32", "int64", "int32"} if role.integer else {"float32"}
        if not fits(role, tensor.shape, len(recipe.classes)) or tensor.type not in numbers:
            raise _malformed(
                f"{role.what} of {shapes_in_words(role, len(recipe.classes))} for"
                f" {len(recipe.classes)} classes, in layout {layout.name}",
                f"{ascii(tensor.name)[:60]} {tensor.type} {list(tensor.shape)}",
                "name the classes as the network has them, or another layout",
            )
    low, high = given.range
    if (
        given.activation not in layout.activations
        or given.box not in {"xyxy", "cxcywh", "yxyx"}
        or given.units not in {"pixels", "fractions"}
        or not 0 <= given.first_label <= 1
        or not 0.05 <= given.overlap <= 0.95
        or not 1 <= given.least_px <= MAX_FRAME_PIXELS // 16
        or not 0 < given.heat_threshold < 1
        or not (-1e6 <= low < high <= 1e6 and high - low >= 1e-6)
    ):
        raise _malformed(
            f"an activation of {', '.join(layout.activations)}, a box of xyxy, cxcywh or yxyx,"
            " units of pixels or fractions, first_label 0 or 1, an overlap in [0.05, 0.95],"
            " least_px, heat_threshold in (0, 1), a range (low, high)",
            ascii(given)[:300],
        )


def _verify_good(recipe: Recipe) -> None:  # 4
    shared = recipe.picture_output.activation != "sigmoid"
    if recipe.kind in {Kind.CLASSIFICATION, Kind.SEGMENTATION} and shared and not recipe.good:
        raise _malformed(
            "a class that is good, or each class with a probability of its own (sigmoid)",
            "no good class",
            "--good NAME",
        )
    if recipe.kind == Kind.ANOMALY and len(recipe.classes) != 1:
        raise _malformed("one class, the anomaly", len(recipe.classes))


def _malformed(expected: str, came: object, hint: str = "") -> Malformed:
    return Malformed.of(Reason.MODEL, expected, came, hint)
