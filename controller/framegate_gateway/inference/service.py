"""What the inference child does once it is confined: one request, one answer.

All of the libraries it needs are imported here and used once by `warm_up`: in its cage no file can
be read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason
from framegate.payload.contract import ExaminedPayload
from framegate.payload.kinds import BUILT_IN, Kinds
from framegate.signed.heat import MAX_GRIDS
from framegate_gateway.inference import pictures
from framegate_gateway.inference.bundle import KnownAnswer, parse_bundle
from framegate_gateway.inference.decoding import AS_STORED, COLOUR_AS_STORED, decode_gray
from framegate_gateway.inference.detections import uncalibrated
from framegate_gateway.inference.gate import Golden, apply_masks, golden_of
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.heat_grid import heat_rows
from framegate_gateway.inference.inspecting import Inspects, Ready
from framegate_gateway.inference.instance_masks import mask_heat
from framegate_gateway.inference.known_answers import (
    known_moved,
    verify_known,
    verify_known_answer,
    verify_known_answers,
)
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.learning import learn_golden
from framegate_gateway.inference.looking import Looking
from framegate_gateway.inference.part_area import require_part_inspected
from framegate_gateway.inference.payload_service import (
    PayloadService,
    examining_of,
    row_runner,
)
from framegate_gateway.inference.place import Leeway, moved_polygons
from framegate_gateway.inference.providers import CPU
from framegate_gateway.inference.region_answers import heat_of
from framegate_gateway.inference.rules import apply_rules, least_threshold
from framegate_gateway.inference.session import inspects, new_session, require_provider
from framegate_gateway.inference.tolerance import MIN_TOLERANT_FRAMES, tolerance_of
from framegate_gateway.inference.variants import Variant, drawn_variant, is_steady

MAX_AWAY: Final = 256
"""Frames whose tensors are with a model server.

More than a gateway has in flight; a frame the server never answered is forgotten.
"""
PROCESSOR: Final = (Path("/proc/cpuinfo"), Path("/sys/devices/system"))
NOT_BLACK: Final = 12.0
"""Mean grey of regions that are masked: JPEG leaves a little noise in black."""


@dataclass(frozen=True, slots=True)
class _Away:
    """What is kept of a frame whose tensor is with a model server."""

    request: dict[str, Any]
    ready: Ready


def warm_up(*, elsewhere: bool, provider: str, kinds: Kinds = BUILT_IN) -> None:
    """Import and use once whatever is needed later: decoders, drawing, learning, what examines each
    of `kinds`, and the runtime with its provider, unless the network runs `elsewhere`. Everything
    it works on is made here. Raises Unavailable (MODEL) where the provider is not there.
    """
    cv2.setNumThreads(1)
    if not elsewhere:
        import onnxruntime  # noqa: PLC0415 - a child without a network never needs it

        require_provider(provider, onnxruntime.get_available_providers())
    for examined in kinds:
        if isinstance(examined, ExaminedPayload):
            examining_of(examined)
    np.fft.ifft(np.fft.fft(np.zeros(8)))  # series are read in lines of a spectrum
    lesson = cv2.imencode(".png", np.eye(64, dtype=np.uint8) * 255)[1]
    # numpy imports parts of itself on first use
    learned, _ = learn_golden([bytes(lesson)] * MIN_TOLERANT_FRAMES)
    tolerance_of(learned, 0)
    for kind in (".jpg", ".png"):
        picture = cv2.imencode(kind, np.zeros((8, 8), np.uint8))[1]
        cv2.imdecode(picture, AS_STORED)
        cv2.imdecode(picture, COLOUR_AS_STORED)


def readable(provider: str) -> tuple[Path, ...]:
    """What `provider` looks into when its session is made: its libraries, what the processor is.
    Nothing for the CPU's. Once system calls are closed nothing can be opened there either.
    """
    if provider == CPU:
        return ()
    import onnxruntime  # noqa: PLC0415 - as in `warm_up`

    there = Path(onnxruntime.__file__).parent / "capi", *PROCESSOR
    return tuple(path for path in there if path.exists())


def load(
    head: dict[str, Any], body: bytes, threads: int, kinds: Kinds = BUILT_IN
) -> Service | PayloadService:
    """The service of the model in the first message.

    The head has the files' sizes and whether the network runs elsewhere, the body the files. The
    graph is looked at before the runtime sees it; the runtime's threads start here, before system
    calls are closed. Raises Malformed.
    """
    names = [name for name, _ in head["files"]]
    parts = _split(body, [size for _, size in head["files"]])
    bundle = parse_bundle(dict(zip(names, parts, strict=True)), b"", kinds)
    verify_network(bundle.model, bundle.recipe)
    session = None
    if not head["elsewhere"]:
        session = new_session(bundle.model, threads, head["provider"])
    if bundle.recipe.examined is not None:
        return PayloadService(bundle, row_runner(session, bundle.recipe))
    inspector = inspects(bundle, session)
    if bundle.known and not head["elsewhere"]:
        inspector.answers(inspector.known(bundle.known[0]))
    return Service(inspector, bundle.known)


class Service:
    """Answers requests, and keeps the golden images that it was given."""

    def __init__(
        self,
        inspector: Inspects,
        known: Sequence[KnownAnswer],
        chance: Random | None = None,
    ) -> None:
        self.inspector, self.known = inspector, known
        self.goldens: dict[str, list[Golden]] = {}
        self._prepared: OrderedDict[int, _Away] = OrderedDict()
        self._variants: dict[int, Variant] = {}
        self._looking = Looking(inspector, chance)

    def verify(self) -> int:
        """How many known answers the model gave as it must. Raises Refused (KNOWN_ANSWER)."""
        return verify_known_answers(self.inspector, self.known)

    def answer(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """(answer, what goes with it) to a request of any kind. Raises FramegateError."""
        kind = request["kind"]
        if kind == "inspect":
            request, ready = self._prepare(request, body)
            arrays = self.inspector.answers(ready)
            return self._said(request, ready, arrays) | _behind(request, ready), b""
        if kind == "prepare":
            return self._sent_away(request, body)
        if kind == "finish":
            away = self._prepared.pop(request["of"])
            placing = away.ready.placing
            arrays = self.inspector.checked(placing, self._arrays(request["shapes"], body))
            return self._said(away.request, away.ready, arrays), b""
        if kind in {"known-pair", "known-check"}:
            return self._known(request, body)
        if kind == "known":
            answer = self.known[request["number"]]
            verify_known(self.inspector, answer)
            return {"known_answers": 1, "steady": known_moved(self.inspector, answer)}, b""
        if kind == "learn":
            learned, facts = learn_golden(_split(body, request["sizes"]))
            return facts, learned
        return {}, _drawn(request, body)

    def _prepare(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], Ready]:
        """The frame past the gate, and the request with its rules where the part lies."""
        for old in request["forget"]:
            self.goldens.pop(old, None)
        part_type, sizes = request["part_type"], request["golden_bytes"]
        if sizes:
            self.goldens[part_type] = [
                golden_of(
                    decode_gray(g), tolerance_of(g, request["rules"].get("tolerant_percent", 0))
                )
                for g in _split(body, sizes)
            ]
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
        frame = self.inspector.decode(body[sum(sizes) :], request["encoding"], claimed)
        if request["masks"]:
            goldens = [apply_masks(frame.gray, g, request["masks"], NOT_BLACK) for g in goldens]
        ignored = tuple(request["rules"].get("ignore") or ())
        leeway = Leeway(ignored=ignored, masked=bool(request["masks"]))
        ready = self.inspector.ready(frame, goldens, leeway)
        share = _part_percent(self.goldens[part_type][ready.golden], request, ready)
        request = request | {"rules": _rules_of(request, ready), "part_percent": share}
        return request, self._looking.past_the_gate(request, ready)

    def _sent_away(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """A frame whose network runs elsewhere: its input to send; what waits is kept."""
        request, ready = self._prepare(request, body)
        self._prepared[request["id"]] = _Away(request, ready)
        if len(self._prepared) > MAX_AWAY:
            self._prepared.popitem(last=False)
        head = _behind(request, ready) | {"shape": list(ready.tensor.shape)}
        return head, ready.tensor.tobytes()

    def _known(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """One known answer, whose network runs elsewhere: its input to send, or outputs to check;
        moved, or as it is.
        """
        number, moved = request["number"], request["moved"]
        answer, recipe = self.known[number], self.inspector.recipe
        if request["kind"] == "known-pair":
            if moved:
                self._variants[number] = drawn_variant(SystemRandom())
            ready = self.inspector.known(answer, self._variants[number] if moved else None)
            return {"shape": list(ready.tensor.shape)}, ready.tensor.tobytes()
        variant = self._variants.pop(number) if moved else None
        placing = self.inspector.known(answer, variant).placing
        arrays = self.inspector.checked(placing, self._arrays(request["shapes"], body))
        steady = True
        if variant is None:
            verify_known_answer(recipe, answer, self.inspector.judged(arrays, placing))
        else:
            said = self.inspector.judged(arrays, placing, recipe.threshold / 2)
            steady = is_steady(recipe, answer, variant, said)
        return {"known_answers": 1, "steady": steady}, b""

    def _arrays(self, shapes: list[list[int]], body: bytes) -> list[NDArray[Any]]:
        """A server's outputs, each of the type that the recipe says."""
        recipe = self.inspector.recipe
        types = ["float32"] * len(shapes)
        if recipe.kind != Kind.PAIR:
            types = [tensor.type for tensor in recipe.picture_output.tensors]
        kinds = [np.dtype(name) for name in types]
        sizes = [
            kind.itemsize * int(np.prod(shape)) for kind, shape in zip(kinds, shapes, strict=True)
        ]
        return [
            np.frombuffer(part, kind).reshape(shape)
            for part, kind, shape in zip(_split(body, sizes), kinds, shapes, strict=True)
        ]

    def _said(
        self, request: dict[str, Any], ready: Ready, arrays: Sequence[NDArray[Any]]
    ) -> dict[str, Any]:
        """Defects, and what second looks measured beside them."""
        placing, rules = ready.placing, request["rules"]
        recipe, size = self.inspector.recipe, placing.size
        regions = recipe.kind in {Kind.SEGMENTATION, Kind.ANOMALY}
        least = least_threshold(rules, recipe.classes, recipe.threshold)
        ignored = rules.get("ignore") or () if regions else ()
        detections = self.inspector.judged(arrays, placing, least, ignored)
        detections = apply_rules(
            detections, rules, recipe.classes, recipe.threshold, size, regions=regions
        )
        boxes = np.clip(detections.boxes, 0, (size[1], size[0], size[1], size[0]))
        defects: list[dict[str, Any]] = [
            {
                "kind": recipe.classes[int(c)],
                "score": round(float(s), 4),
                "box": [round(float(v), 1) for v in b],
            }
            for b, c, s in zip(boxes, detections.classes, detections.scores, strict=True)
        ]
        if recipe.bears_heat and defects:
            # a detection's box counts by its calibrated score, its mask by the raw one
            lowest = uncalibrated(least, recipe.calibration)
            heat = (
                heat_of(recipe, arrays, placing)
                if recipe.kind == Kind.ANOMALY
                else mask_heat(recipe, arrays, placing, lowest)
            )
            for defect in defects[:MAX_GRIDS]:
                defect["heat"] = heat_rows(heat, defect["box"], size)
        looks = self._looking.measured(request, ready, arrays, detections)
        answer = {"defects": defects, "looks": {look.value: said for look, said in looks.items()}}
        proposed = self._looking.told.proposed
        return answer if proposed is None else answer | {"fingerprint": proposed.text}


def _behind(request: dict[str, Any], ready: Ready) -> dict[str, Any]:
    """What an answer says of the part: its golden image, and how much of it was inspected."""
    return {"golden": ready.golden, "part_percent": request["part_percent"]}


def _part_percent(golden: Golden, request: dict[str, Any], ready: Ready) -> int | None:
    """See `require_part_inspected`. Where the part is turned, no masks are in force, and what its
    rules ignore lies in the golden image as the part does.
    """
    moved = ready.scene is not None and ready.matrix is None
    shift = ready.scene.shift if ready.scene is not None and moved else (0.0, 0.0)
    size = (request["height"], request["width"])
    ignored = request["rules"].get("ignore") or ()
    masks, loose = request["masks"], golden.loose
    return require_part_inspected(golden.area, masks, ignored, shift, size, loose)


def _rules_of(request: dict[str, Any], ready: Ready) -> dict[str, Any]:
    """The part's rules for one frame: what they ignore lies where the part has it."""
    rules: dict[str, Any] = request["rules"]
    if ready.matrix is None or not rules.get("ignore"):
        return rules
    return rules | {"ignore": moved_polygons(rules["ignore"], ready.matrix, ready.placing.size)}


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


def _split(body: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(body[at : at + size])
        at += size
    return parts
