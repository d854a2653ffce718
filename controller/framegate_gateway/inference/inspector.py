"""One inspection, from decoded frame to detections: quality gate, registration, network, boxes.

The same code runs in the gateway's inference child, in `model evaluate` and for known answers, so
that what is measured is what is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import KnownAnswer, Recipe
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.detections import Detections, detections_from_maps, iou
from framegate_gateway.inference.quality import Signature, require_quality
from framegate_gateway.inference.registration import (
    MIN_LIKENESS,
    Gray,
    Reference,
    Registered,
    halved,
    reference,
    register,
)

Floats = NDArray[np.float32]
SCORE_SLACK: Final = 0.03
"""By how much a known answer's score may differ: kernels of another processor round otherwise, by
less than a thousandth; a swapped model by far more.
"""
BOX_SLACK: Final = 0.85
"""Overlap that a known answer's box must have with its place."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame beside its moved golden image as the network takes it: `pair` (1, 2, h, w) float32 in
    [0, 1]; `size` (h, w) of the frame before it was filled up.
    """

    pair: Floats
    size: tuple[int, int]
    registered: Registered


@dataclass
class Golden:
    """A golden image made ready once: registration spectrum and quality figures; `masked` keeps
    those under masks, by their polygons.
    """

    image: Gray
    reference: Reference
    signature: Signature
    masked: dict[Any, Golden] = field(default_factory=dict)


def golden_of(image: Gray) -> Golden:
    """What of a golden image is computed once."""
    ready = reference(image)
    return Golden(image, ready, Signature(ready.half))


class Inspector:
    """A model with its recipe, ready to inspect. `run` is the network: (n, 2, h, w) float32 to heat
    and geometry.
    """

    def __init__(self, recipe: Recipe, run: Any) -> None:
        self.recipe, self.run = recipe, run

    def prepare(self, frame: Gray, golden: Golden, *, gate: bool = True) -> Prepared:
        """Gate and register. Raises Refused (IMAGE_COVERED, IMAGE_EXPOSURE, IMAGE_DEFOCUS,
        REGISTRATION), Malformed (IMAGE) for another size.

        Without `gate` a frame that does not fit its golden image is compared as it lies, which is
        for measuring alone.
        """
        if frame.shape != golden.image.shape:
            raise Malformed.of(
                Reason.IMAGE,
                f"a frame of the golden image's {golden.image.shape[1]}x{golden.image.shape[0]}",
                f"{frame.shape[1]}x{frame.shape[0]}",
            )
        half = halved(frame)
        if gate:
            require_quality(Signature(half), golden.signature)
        moved = register(golden.reference, frame, half)
        if moved.likeness < MIN_LIKENESS:
            if gate:
                said = f"{moved.likeness:.2f}"
                raise Refused.of(
                    Reason.REGISTRATION,
                    f"a frame like its golden image (correlation {MIN_LIKENESS:g})",
                    said,
                    "another part, out of its place, or upside down?",
                )
            moved = Registered(golden.image, (0.0, 0.0), moved.likeness)
        h, w = frame.shape
        m = self.recipe.multiple_px
        pair = np.empty((1, 2, -(-h // m) * m, -(-w // m) * m), np.float32)
        if pair.shape[2:] != frame.shape:
            pair[:] = 1.0
        np.multiply(frame, np.float32(1 / 255), out=pair[0, 0, :h, :w], casting="unsafe")
        np.multiply(moved.golden, np.float32(1 / 255), out=pair[0, 1, :h, :w], casting="unsafe")
        return Prepared(pair, (h, w), moved)

    def prepare_best(self, frame: Gray, goldens: Sequence[Golden]) -> tuple[int, Prepared]:
        """(which golden image, the frame beside it): the one that is most like the frame, of those
        that it passes the gate with. Raises as `prepare`, for the first.
        """
        best: tuple[int, Prepared] | None = None
        first: Refused | None = None
        for number, golden in enumerate(goldens):
            try:
                prepared = self.prepare(frame, golden)
            except Refused as error:
                first = first or error
                continue
            if best is None or prepared.registered.likeness > best[1].registered.likeness:
                best = number, prepared
        if best is None:
            raise first or Refused.of(Reason.PART_UNKNOWN, "a golden image", "none")
        return best

    def maps(self, pair: Floats) -> tuple[Floats, Floats]:
        """Heat and geometry of a batch. Raises Unavailable (INFERENCE) where the network gives no
        numbers or other shapes.
        """
        return self.checked(pair.shape, *self.run(pair))

    def checked(
        self, shape: tuple[int, ...], heat: Floats, geometry: Floats
    ) -> tuple[Floats, Floats]:
        """A network's answer to a batch of this shape, after its shapes and numbers were looked at.
        Raises Unavailable (INFERENCE).
        """
        n, s = shape[0], tuple(side // 8 for side in shape[2:])
        if heat.shape != (n, len(self.recipe.classes), *s) or geometry.shape != (n, 4, *s):
            raise Unavailable.of(
                Reason.INFERENCE,
                f"heat and geometry of {s[1]}x{s[0]} cells",
                f"{heat.shape} and {geometry.shape}",
            )
        if not (np.isfinite(heat).all() and np.isfinite(geometry).all()):
            raise Unavailable.of(Reason.INFERENCE, "numbers from the model", "NaN or infinity")
        return heat, geometry

    def detections(
        self, heat: Floats, geometry: Floats, threshold: float | None = None
    ) -> Detections:
        """Boxes of one image's maps (classes, h/8, w/8) and (4, h/8, w/8), with calibrated scores
        of at least `threshold` (default: the recipe's).
        """
        least = self.recipe.threshold if threshold is None else threshold
        uncalibrated = detections_from_maps(heat, geometry, self._raw(least))
        return Detections(
            uncalibrated.boxes, uncalibrated.classes, self._calibrated(uncalibrated.scores)
        )

    def inspect(
        self, frame: Gray, golden: Golden, threshold: float | None = None, *, gate: bool = True
    ) -> Detections:
        """All of it for one decoded frame."""
        heat, geometry = self.maps(self.prepare(frame, golden, gate=gate).pair)
        return self.detections(heat[0], geometry[0], threshold)

    def _calibrated(self, scores: Floats) -> Floats:
        slope, offset = self.recipe.calibration
        clipped = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
        return np.asarray(
            1 / (1 + np.exp(-(slope * np.log(clipped / (1 - clipped)) + offset))), np.float32
        )

    def _raw(self, calibrated: float) -> float:
        slope, offset = self.recipe.calibration
        return float(1 / (1 + np.exp(-((np.log(calibrated / (1 - calibrated)) - offset) / slope))))


def new_session(model: bytes, threads: int) -> Any:
    """An onnxruntime session over the model's bytes. Raises Malformed (MODEL) where the runtime
    refuses them.
    """
    # an inference child whose network runs elsewhere never comes here
    import onnxruntime as ort  # noqa: PLC0415 - start-up

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # other work shares the cores
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL, "a model that onnxruntime loads", f"{type(error).__name__}: {error}"[:300]
        ) from error


def runner(session: Any) -> Any:
    """The session as `Inspector` takes it."""
    return lambda pair: session.run(["heat", "geometry"], {"pair": pair})


def verify_known_answers(inspector: Inspector, known: Sequence[KnownAnswer]) -> int:
    """That the model says to every known frame what it must: the same boxes, classes and, within
    `SCORE_SLACK`, scores. Returns how many frames were asked.

    Raises Refused (KNOWN_ANSWER) naming the first frame that differs (N105).
    """
    for answer in known:
        heat, geometry = inspector.maps(known_pair(inspector, answer))
        verify_known_answer(inspector, answer, inspector.detections(heat[0], geometry[0]))
    return len(known)


def known_pair(inspector: Inspector, answer: KnownAnswer) -> Floats:
    """The network's input for a known answer, (1, 2, h, w) float32."""
    return inspector.prepare(
        decode_gray(answer.frame), golden_of(decode_gray(answer.golden)), gate=False
    ).pair


def verify_known_answer(inspector: Inspector, answer: KnownAnswer, detections: Detections) -> None:
    """That `detections` are what the model must find in a known frame. Raises Refused
    (KNOWN_ANSWER).
    """
    wanted = [
        (inspector.recipe.classes.index(d["kind"]), d["score"], np.array(d["box"], np.float32))
        for d in answer.defects
    ]
    open_ = set(range(len(detections)))
    for kind, score, box in wanted:
        overlap = iou(box, detections.boxes) if len(detections) else np.zeros(0)
        hit = next(
            (
                i
                for i in sorted(open_)
                if detections.classes[i] == kind
                and overlap[i] > BOX_SLACK
                and abs(float(detections.scores[i]) - score) <= SCORE_SLACK
            ),
            None,
        )
        if hit is None:
            raise _deviates(
                answer.name,
                f"{inspector.recipe.classes[kind]} at {[round(float(v)) for v in box]} with"
                f" {score:.2f}",
                detections,
                inspector.recipe,
            )
        open_.remove(hit)
    if open_:
        raise _deviates(answer.name, f"{len(wanted)} defects", detections, inspector.recipe)


def _deviates(name: str, wanted: str, detections: Detections, recipe: Recipe) -> Refused:
    said = (
        ", ".join(
            f"{recipe.classes[int(c)]} {float(s):.2f}"
            for c, s in zip(detections.classes, detections.scores, strict=True)
        )
        or "nothing"
    )
    return Refused.of(
        Reason.KNOWN_ANSWER,
        f"known answer {name}: {wanted}",
        said[:200],
        "this is not the model that was approved, or the processor computes wrongly",
    )


def apply_masks(frame: Gray, golden: Golden, polygons: Any, not_black: float) -> Golden:
    """The golden image blanked like the frame, whose masked regions must be black: a camera that
    only says so is caught here. Raises Refused (MASK).
    """
    h, w = frame.shape
    region = np.zeros((h, w), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(
            region, [(np.array(polygon) * (w, h) * 16).round().astype(np.int32)], 255, shift=4
        )
    inside = cv2.erode(region, np.ones((9, 9), np.uint8))  # JPEG smears the edge
    if float(cv2.mean(frame, inside)[0]) > not_black:
        raise Refused.of(Reason.MASK, "masked regions that are black", "announced and not black")
    key = str(polygons)
    if key not in golden.masked:
        golden.masked.clear()  # one set of masks is in force at a time
        golden.masked[key] = golden_of(
            np.asarray(cv2.bitwise_and(golden.image, cv2.bitwise_not(region)), np.uint8)
        )
    return golden.masked[key]
