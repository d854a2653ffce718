"""Answers of the inference child as the input they are: that child decodes what attackers send.

An answer that does not look like one to its question, in shape, range or size, is `BadAnswer`: the
child has been taken over or is broken, and is replaced. It never becomes a verdict (N145).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.looks.fingerprint import parse_fingerprint
from framegate.looks.kinds import MOST_MEASURED, Look
from framegate.receipt_verifier import MIN_INSPECTED
from framegate.signed.heat import MAX_GRIDS, is_heat
from framegate.signed.inspected import MAX_TOLERANCE
from framegate.signed.mask import parse_regions
from framegate.signed.part import MAX_OUTLINES
from framegate.wire import MAX_FRAME_BYTES, MAX_FRAME_PIXELS
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.recipe import BYTES_OF, Recipe

MAX_DETECTIONS: Final = 100
"""Boxes kept of one frame: a frame with more is scrap anyway, and the answer must stay small."""
MAX_HEAD_BYTES: Final = 64 * 1024
"""A hundred defects are 12 KiB of JSON."""
FLOAT_BYTES: Final = 4
MAX_PICTURE_BYTES: Final = 8 * MAX_FRAME_BYTES
"""A PNG of two frames side by side, in colour."""
MAX_TEXT: Final = 400
MAX_SHIFT_PX: Final = 100_000.0
REFUSALS: Final = frozenset(
    {
        Reason.IMAGE,
        Reason.IMAGE_COVERED,
        Reason.IMAGE_CONTRAST,
        Reason.IMAGE_EXPOSURE,
        Reason.IMAGE_DEFOCUS,
        Reason.INFERENCE,
        Reason.INSPECTED_SHARE,
        Reason.KNOWN_ANSWER,
        Reason.MASK,
        Reason.MODEL,
        Reason.MODEL_GRAPH,
        Reason.PART_UNKNOWN,
        Reason.PAYLOAD,
        Reason.PAYLOAD_REPLAYED,
        Reason.OUT_OF_PLACE,
        Reason.REGISTRATION,
        Reason.SERIES_CLIPPED,
        Reason.SERIES_DROPOUT,
        Reason.SERIES_FLAT,
        Reason.SERIES_GAP,
        Reason.SERIES_RATE,
        Reason.TOO_LARGE,
        Reason.UNCONFINED,
    }
)
"""What the child may refuse for; nothing of people, machines or trust."""


class BadAnswer(Exception):
    """The child said something that is no answer to its question."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is held against: the message's head, how many golden images the part has, the
    classes of the model that are defects, and what its network takes (`recipe`).
    """

    head: Mapping[str, Any]
    goldens: int
    classes: Sequence[str]
    recipe: Recipe

    @property
    def pair(self) -> bool:
        """Whether the network takes pairs, whose sides follow the frame's."""
        return self.recipe.kind == Kind.PAIR


def asked(bundle: Bundle, head: Mapping[str, Any], goldens: int) -> Asked:
    """What an answer of the model `bundle` to the message `head` is held against."""
    return Asked(head, goldens, bundle.recipe.defects, bundle.recipe)


def verify_sizes(question: Asked | None, head: int, body: int) -> None:
    """That a head and body of these sizes may be read at all, before memory is set aside for them;
    `question` is None for the child's first word. Raises BadAnswer.
    """
    _require(0 < head <= MAX_HEAD_BYTES, f"a head of at most {MAX_HEAD_BYTES} bytes")
    most = 0 if question is None else _most_bytes(question)
    _require(body <= most, f"a body of at most {most} bytes")


def _most_bytes(question: Asked) -> int:
    kind = question.head["kind"]
    if kind in {"prepare", "known-pair"} and not question.pair:
        given = question.recipe.picture_input
        return BYTES_OF[given.type] * math.prod(given.shape)
    if kind == "prepare":
        return FLOAT_BYTES * 2 * math.prod(_filled_sides(question))
    if kind == "known-pair":
        return FLOAT_BYTES * 2 * MAX_FRAME_PIXELS
    return MAX_PICTURE_BYTES if kind in {"picture", "card", "marked", "learn"} else 0


def _filled_sides(question: Asked) -> list[int]:
    m = question.recipe.multiple_px
    return [-(-question.head[side] // m) * m for side in ("height", "width")]


def parse_head(raw: bytes) -> dict[str, Any]:
    """The JSON object of an answer. Raises BadAnswer."""
    try:
        head = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"expected a JSON object, got {type(error).__name__}") from error
    _require(type(head) is dict, "a JSON object")
    return dict(head)


@dataclass(frozen=True, slots=True)
class Started:
    """A child that has loaded its model."""

    isolation: str
    known_answers: int
    provider: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the child could not do what it was asked."""

    reason: Reason
    why: str

    def error(self, expected: str) -> FramegateError:
        """It as an error: Unavailable where the host cannot confine the child, else Refused."""
        if self.reason == Reason.UNCONFINED:
            hint = "a kernel with Landlock and seccomp, and libseccomp2; or --unconfined"
            return Unavailable.of(self.reason, "a confined child", self.why, hint)
        return Refused.of(self.reason, expected, self.why)


def verify_start(
    head: dict[str, Any], body: bytes, known: int, provider: str = ""
) -> Started | Refusal:
    """The child's first word, after these checks.

    1. it is a refusal (`verify_refusal`), or
    2. it is ready, has no body, names its isolation in a line, gave each known answer or none, and
       runs by the `provider` that it was told to take.

    Raises BadAnswer.
    """
    _require(not body, "no body")
    if "failed" in head:  # 1
        return verify_refusal(head)
    members = {"ready", "isolation", "known_answers", "provider"}
    _require(set(head) == members, "the members of a start")  # 2
    _require(head["ready"] is True, "ready")
    given = head["known_answers"]
    _require(type(given) is int and given in {0, known}, f"0 or {known} known answers")
    _require(head["provider"] == provider, "the provider that it was told to take")
    return Started(_line(head["isolation"]), given, provider)


def verify_refusal(head: Mapping[str, Any]) -> Refusal:
    """A refusal: 1. its reason is one a child may have; 2. its sentence is a line of printable
    ASCII. Raises BadAnswer.
    """
    said = head["failed"]
    _require(type(said) is str and said in set(REFUSALS), "a reason that a child may have")  # 1
    return Refusal(Reason(said), _line(head.get("why")))  # 2


def verify_answer(question: Asked, head: dict[str, Any], body: bytes) -> None:
    """That `head` and `body` answer `question`.

    1. the answer bears the question's number, and says whether the golden image was taken;
    2. a refusal is one (`verify_refusal`) and has no body; otherwise, by the kind of question:
    3. defects: at most `MAX_DETECTIONS`, of the model's classes, scores in [0, 1], boxes with their
       corners in order and inside the frame where its size is known; of an anomaly model, at most
       `MAX_GRIDS` of them with a grid of heat; the golden image is one of the part's; of the part
       in it nothing is said, or that `MIN_INSPECTED` percent or more were inspected; second looks
       of the list, each a number in range; a camera's fingerprint where one is learned;
    4. a network's input: a pair of the frame's size filled up to the recipe's multiple, or the
       recipe's input; as many bytes;
    5. a known answer: that it was given, and whether its frame, moved, was answered as much;
    6. a picture or learnt image: a PNG; what was learnt is told in numbers in range.

    How long a body may be, `verify_sizes` has said before it was read. Raises BadAnswer.
    """
    kind = question.head["kind"]
    _require(
        type(head.get("id")) is int and head["id"] == question.head["id"], "its own number"
    )  # 1
    _require(type(head.get("golden_taken")) is bool, "whether the golden image was taken")
    if "failed" in head:  # 2
        _require(not body, "a refusal without a body")
        verify_refusal(head)
    elif kind in {"inspect", "finish"}:  # 3
        _defects(question, head, body)
    elif kind in {"prepare", "known-pair"}:  # 4
        (_pair if question.pair else _picture)(question, head, body)
    elif kind in {"known", "known-check"}:  # 5
        _require(head.get("known_answers") == 1 and not body, "one known answer")
        _require(type(head.get("steady")) is bool, "whether a moved frame was answered as known")
    else:  # 6
        _require(body.startswith(b"\x89PNG\r\n\x1a\n"), "a PNG")
        if kind == "learn":
            _lesson(question, head)


def _defects(question: Asked, head: dict[str, Any], body: bytes) -> None:
    _require(not body, "no body")
    if question.head["kind"] == "inspect":
        _golden(question, head)
    looks = head.get("looks")
    _require(type(looks) is dict and set(looks) <= set(Look), "second looks")
    _require(all(_number(n, -1.0, MOST_MEASURED) for n in (looks or {}).values()), "their numbers")
    if "fingerprint" in head:
        _require(bool(question.head.get("measure")), "no fingerprint unasked")
        _fingerprint(head["fingerprint"])
    defects = head.get("defects")
    _require(type(defects) is list and len(defects) <= MAX_DETECTIONS, "a list of defects")
    width, height = question.head.get("width", math.inf), question.head.get("height", math.inf)
    _require(sum("heat" in d for d in defects or () if type(d) is dict) <= MAX_GRIDS, "few grids")
    for defect in defects or ():
        _require(type(defect) is dict, "a defect")
        heat = {"heat"} if question.recipe.bears_heat else set()
        _require(set(defect) - heat == {"kind", "score", "box"}, "a defect")
        _require("heat" not in defect or is_heat(defect["heat"]), "a grid of heat")
        _require(type(defect["kind"]) is str and defect["kind"] in question.classes, "a class")
        _require(_number(defect["score"], 0.0, 1.0), "a score between 0 and 1")
        box = defect["box"]
        _require(type(box) is list and len(box) == 4, "a box of four sides")
        x1, y1, x2, y2 = box
        _require(all(_number(x, 0.0, width) for x in (x1, x2)) and x1 <= x2, "a box in the frame")
        _require(all(_number(y, 0.0, height) for y in (y1, y2)) and y1 <= y2, "a box in the frame")


def _fingerprint(said: object) -> None:
    try:
        parse_fingerprint(said)
    except Malformed as error:
        raise BadAnswer(f"a fingerprint: {error}") from error


def _golden(question: Asked, head: dict[str, Any]) -> None:
    which = head.get("golden")
    _require(type(which) is int and 0 <= which < question.goldens, "one of the golden images")
    share = head.get("part_percent")
    enough = type(share) is int and MIN_INSPECTED <= share <= 100
    _require(enough or share is None, "a share of the part that is enough")


def _pair(question: Asked, head: dict[str, Any], body: bytes) -> None:
    shape = head.get("shape")
    _require(
        type(shape) is list and len(shape) == 4 and all(type(side) is int for side in shape),
        "a shape of four sides",
    )
    _require(shape is not None and shape[:2] == [1, 2] and min(shape) > 0, "one pair of images")
    sides = shape[2:] if shape else []
    _require(
        all(side % question.recipe.multiple_px == 0 for side in sides),
        "sides that the network takes",
    )
    if question.head["kind"] == "prepare":
        _golden(question, head)
        _require(sides == _filled_sides(question), "the frame's size")
    _require(len(body) == FLOAT_BYTES * math.prod(shape or ()), "as many bytes as the shape has")


def _picture(question: Asked, head: dict[str, Any], body: bytes) -> None:
    given = question.recipe.picture_input
    _require(head.get("shape") == list(given.shape), "the recipe's input")
    if question.head["kind"] == "prepare":
        _golden(question, head)
    size = BYTES_OF[given.type] * math.prod(given.shape)
    _require(len(body) == size, "as many bytes as the shape has")


LESSON: Final = frozenset(
    {
        "used",
        "left_out",
        "largest_shift_px",
        "differing_share",
        "outline",
        "tolerant_percent",
        "most_tolerated",
    }
)
"""What a lesson says of itself, each checked by `_lesson`, and what an operator is told."""


def _lesson(question: Asked, head: dict[str, Any]) -> None:
    frames = len(question.head["sizes"])
    _require(type(head.get("used")) is int and 0 < head["used"] <= frames, "frames used")
    out = head.get("left_out")
    _require(type(out) is list and len(out) <= frames, "frames left out")
    _require(all(type(n) is int and 0 <= n < frames for n in out or ()), "frames left out")
    _require(_number(head.get("largest_shift_px"), 0.0, MAX_SHIFT_PX), "a shift")
    _require(_number(head.get("differing_share"), 0.0, 1.0), "a share")
    for name, most in (("tolerant_percent", 100), ("most_tolerated", MAX_TOLERANCE)):
        said = head.get(name)
        _require(type(said) is int and 0 <= said <= most, f"{name} of at most {most}")
    outline = head.get("outline")
    _require(type(outline) is list and len(outline) <= MAX_OUTLINES, "an outline")
    try:
        parse_regions(outline or [])
    except Malformed as error:
        raise BadAnswer(f"an outline: {error}") from error


def _number(value: object, least: float, most: float) -> bool:
    # NaN is in no range
    return isinstance(value, int | float) and type(value) is not bool and least <= value <= most


def _line(text: object) -> str:
    _require(
        type(text) is str and len(text) <= MAX_TEXT and text.isascii() and text.isprintable(),
        f"a line of at most {MAX_TEXT} letters",
    )
    return str(text)


def _require(holds: bool, expected: str) -> None:
    if not holds:
        raise BadAnswer(f"expected {expected}")
