"""What the inference child does once it is confined: one request, one answer.

All of the libraries it needs are imported here and used once by `warm_up`: in its cage no file can
be read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from framegate.errors import Malformed, Reason
from framegate.signed.part import MIN_LESSON
from framegate_gateway.inference import pictures
from framegate_gateway.inference.bundle import KnownAnswer, parse_bundle
from framegate_gateway.inference.decoding import AS_STORED, decode_gray
from framegate_gateway.inference.graph import verify_graph
from framegate_gateway.inference.inspector import (
    Floats,
    Golden,
    Inspector,
    Prepared,
    apply_masks,
    golden_of,
    known_pair,
    new_session,
    runner,
    verify_known_answer,
    verify_known_answers,
)
from framegate_gateway.inference.learning import learn_golden
from framegate_gateway.inference.rules import apply_rules, least_threshold

MAX_AWAY: Final = 256
"""Frames whose tensors are with a model server.

More than a gateway has in flight; a frame the server never answered is forgotten.
"""
NOT_BLACK: Final = 12.0
"""Mean grey of regions that are masked: JPEG leaves a little noise in black."""


def warm_up(*, elsewhere: bool) -> None:
    """Import and use once whatever is needed later: decoders, drawing, learning, and the runtime,
    unless the network runs `elsewhere`. Everything it works on is made here.
    """
    cv2.setNumThreads(1)
    if not elsewhere:
        import onnxruntime  # noqa: F401, PLC0415 - a child without a network never needs it
    lesson = cv2.imencode(".png", np.eye(64, dtype=np.uint8) * 255)[1]
    learn_golden([bytes(lesson)] * MIN_LESSON)  # numpy imports parts of itself on first use
    for kind in (".jpg", ".png"):
        picture = cv2.imencode(kind, np.zeros((8, 8), np.uint8))[1]
        cv2.imdecode(picture, AS_STORED)


def load(head: dict[str, Any], body: bytes, threads: int) -> Service:
    """The service of the model in the first message.

    The head has the files' sizes and whether the network runs elsewhere, the body the files. The
    graph is looked at before the runtime sees it; the runtime's threads start here, before system
    calls are closed. Raises Malformed.
    """
    names = [name for name, _ in head["files"]]
    parts = _split(body, [size for _, size in head["files"]])
    bundle = parse_bundle(dict(zip(names, parts, strict=True)))
    verify_graph(bundle.model, len(bundle.recipe.classes))
    session = None if head["elsewhere"] else runner(new_session(bundle.model, threads))
    inspector = Inspector(bundle.recipe, session)
    if not head["elsewhere"]:
        side = bundle.recipe.multiple_px * 4
        inspector.maps(np.zeros((1, 2, side, side), np.float32))
    return Service(inspector, bundle.known)


class Service:
    """Answers requests, and keeps the golden images that it was given."""

    def __init__(self, inspector: Inspector, known: Sequence[KnownAnswer]) -> None:
        self.inspector, self.known = inspector, known
        self.goldens: dict[str, list[Golden]] = {}
        self._prepared: OrderedDict[int, tuple[Any, ...]] = OrderedDict()

    def verify(self) -> int:
        """How many known answers the model gave as it must. Raises Refused (KNOWN_ANSWER)."""
        return verify_known_answers(self.inspector, self.known)

    def answer(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """(answer, what goes with it) to a request of any kind. Raises FramegateError."""
        kind = request["kind"]
        if kind == "inspect":
            which, prepared, size = self._prepare(request, body)
            maps = self.inspector.maps(prepared.pair)
            return self._defects(maps, request["rules"], size) | {"golden": which}, b""
        if kind == "prepare":
            return self._sent_away(request, body)
        if kind == "finish":
            rules, size, shape = self._prepared.pop(request["of"])
            maps = self.inspector.checked(shape, *_tensors(request["shapes"], body))
            return self._defects(maps, rules, size), b""
        if kind in {"known-pair", "known-check"}:
            return self._known(request, body)
        if kind == "known":
            return {"known_answers": self.verify()}, b""
        if kind == "learn":
            learned, facts = learn_golden(_split(body, request["sizes"]))
            return facts, learned
        return {}, _drawn(request, body)

    def _prepare(
        self, request: dict[str, Any], body: bytes
    ) -> tuple[int, Prepared, tuple[int, int]]:
        for old in request["forget"]:
            self.goldens.pop(old, None)
        part_type, sizes = request["part_type"], request["golden_bytes"]
        if sizes:
            self.goldens[part_type] = [golden_of(decode_gray(g)) for g in _split(body, sizes)]
        claimed = (request["width"], request["height"])
        goldens = self.goldens[part_type]
        # another size is refused in any case; before decoding, because a small file may be a large
        # picture, and while it is decoded every other camera waits (N126)
        if all(golden.image.shape[::-1] != claimed for golden in goldens):
            height, width = goldens[0].image.shape
            raise Malformed.of(
                Reason.IMAGE,
                f"a frame of the golden image's {width}x{height}",
                f"{claimed[0]}x{claimed[1]}",
            )
        frame = decode_gray(body[sum(sizes) :], request["encoding"], claimed)
        if request["masks"]:
            goldens = [apply_masks(frame, g, request["masks"], NOT_BLACK) for g in goldens]
        which, prepared = self.inspector.prepare_best(frame, goldens)
        height, width = frame.shape
        return which, prepared, (height, width)

    def _sent_away(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """A frame whose network runs elsewhere: its pair to send, and what waits for the maps."""
        which, prepared, size = self._prepare(request, body)
        self._prepared[request["id"]] = (request["rules"], size, prepared.pair.shape)
        if len(self._prepared) > MAX_AWAY:
            self._prepared.popitem(last=False)
        return {"golden": which, "shape": list(prepared.pair.shape)}, prepared.pair.tobytes()

    def _known(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """One known answer, whose network runs elsewhere: its pair to send, or maps to check."""
        answer = self.known[request["number"]]
        pair = known_pair(self.inspector, answer)
        if request["kind"] == "known-pair":
            return {"shape": list(pair.shape)}, pair.tobytes()
        heat, geometry = self.inspector.checked(pair.shape, *_tensors(request["shapes"], body))
        verify_known_answer(self.inspector, answer, self.inspector.detections(heat[0], geometry[0]))
        return {"known_answers": 1}, b""

    def _defects(
        self, maps: tuple[Floats, Floats], rules: dict[str, Any], size: tuple[int, int]
    ) -> dict[str, Any]:
        recipe, (heat, geometry) = self.inspector.recipe, maps
        least = least_threshold(rules, recipe.classes, recipe.threshold)
        detections = self.inspector.detections(heat[0], geometry[0], least)
        detections = apply_rules(detections, rules, recipe.classes, recipe.threshold, size)
        boxes = np.clip(detections.boxes, 0, (size[1], size[0], size[1], size[0]))
        defects = [
            {
                "kind": recipe.classes[int(c)],
                "score": round(float(s), 4),
                "box": [round(float(v), 1) for v in b],
            }
            for b, c, s in zip(boxes, detections.classes, detections.scores, strict=True)
        ]
        return {"defects": defects}


def _drawn(request: dict[str, Any], body: bytes) -> bytes:
    split = request.get("golden_size", 0)
    frame = decode_gray(body[split:], request["encoding"])
    if request["kind"] == "marked":
        picture = pictures.marked(frame, request["lines"])
    elif request["kind"] == "card":
        golden = decode_gray(body[:split]) if split else None
        defects, outcome, lines = request["defects"], request["outcome"], request["lines"]
        picture = pictures.card(frame, golden, defects, outcome, lines)
    else:
        picture = pictures.boxes(frame, request["defects"], request["lines"])
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _tensors(shapes: list[list[int]], body: bytes) -> list[Floats]:
    parts = _split(body, [4 * int(np.prod(shape)) for shape in shapes])
    return [
        np.frombuffer(part, np.float32).reshape(shape)
        for part, shape in zip(parts, shapes, strict=True)
    ]


def _split(body: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(body[at : at + size])
        at += size
    return parts
