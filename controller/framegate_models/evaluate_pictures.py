"""Measuring an anomaly model on folders of pictures: sound ones that it has not learned from, and
bad ones, each folder a kind of defect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from framegate.errors import Reason, Refused
from framegate.wire import sha256
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.region_answers import anomaly_scores, heat_of
from framegate_gateway.inference.session import new_session, picture_runner
from framegate_models.anomaly_accuracy import (
    AnomalyAccuracy,
    Judged,
    PixelCurve,
    anomaly_accuracy,
)
from framegate_models.picture_files import picture_paths, reading
from framegate_models.sound_pictures import NAMED_DIGITS, mask_of

WARM_UP: Final = 3
"""Frames whose time does not count: the runtime sets memory aside."""


class Milliseconds(NamedTuple):
    """Of a frame, from encoded bytes to detections: median and 99th percentile by the clock, and
    the median of what all cores together spent.
    """

    median: float
    p99: float
    processor: float


@dataclass(frozen=True, slots=True)
class PicturesMeasured:
    """A bundle on folders of pictures. `learned` pictures were left out, since the bundle has
    learned from them.
    """

    accuracy: AnomalyAccuracy
    judged: tuple[Judged, ...]
    ms: Milliseconds
    learned: int
    promised: float | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.accuracy.as_dict(),
            "promised_false_alarms": self.promised,
            "ms_per_frame": round(self.ms.median, 2),
            "ms_p99": round(self.ms.p99, 2),
            "processor_ms_per_frame": round(self.ms.processor, 2),
            "left_out_as_learned": self.learned,
        }


def pictures_inspector(bundle: Bundle, threads: int = 2) -> PictureInspector:
    """An anomaly model, looked at and loaded. Raises Refused (MODEL) for another kind."""
    if bundle.recipe.kind != Kind.ANOMALY:
        raise Refused.of(
            Reason.MODEL,
            "a bundle of the kind anomaly",
            bundle.recipe.kind.value,
            "--bundle DIR of one that was learned; pairs are measured by --data",
        )
    verify_network(bundle.model, bundle.recipe)
    session = new_session(bundle.model, threads)
    return PictureInspector(bundle.recipe, picture_runner(session, bundle.recipe))


class _Looked(NamedTuple):
    detections: Detections
    score: float
    heat: Any
    seconds: float
    processor: float


def look(inspector: PictureInspector, data: bytes) -> _Looked:
    """One encoded picture, as a gateway's child goes about it, without the gate."""
    begun, spent = time.perf_counter(), time.process_time()
    ready = inspector.prepared(inspector.decode(data).picture)
    arrays = inspector.answers(ready)
    detections = inspector.judged(arrays, ready.placing)
    seconds, processor = time.perf_counter() - begun, time.process_time() - spent
    score = anomaly_scores(inspector.recipe, arrays, ready.placing).score
    heat = heat_of(inspector.recipe, arrays, ready.placing)
    return _Looked(detections, score, heat, seconds, processor)


def measure_pictures(
    bundle: Bundle,
    good: Path,
    bad: Sequence[Path],
    rate: float,
    threads: int = 2,
    said: Callable[[int, int], None] = lambda _a, _b: None,
) -> PicturesMeasured:
    """Inspect each picture of folders of sound and of bad parts, one at a time; sound ones that the
    bundle's card says it learned from are left out. A bad folder's name is its kind of defect.

    Raises Refused (DATA_SET) for a folder without pictures, and where none is left to measure on;
    Unavailable (DATA_SET) for no folder; Malformed (IMAGE) naming a file that is no picture.
    """
    inspector = pictures_inspector(bundle, threads)
    known = learned_digests(bundle)
    rows = [(path, "") for path in _pictures(good)]
    rows += [(path, folder.name) for folder in bad for path in _pictures(folder)]
    judged: list[Judged] = []
    pixels, times, learned = PixelCurve(), [], 0
    for number, (path, shows) in enumerate(rows):
        said(number + 1, len(rows))
        data = path.read_bytes()
        if not shows and sha256(data).hex()[:NAMED_DIGITS] in known:
            learned += 1
            continue
        with reading(path):
            one = look(inspector, data)
        judged.append(Judged(path.name, shows, one.score, bool(len(one.detections))))
        times.append((1000 * one.seconds, 1000 * one.processor))
        size = inspector.decode(data).gray.shape
        where = mask_of(path, (size[0], size[1])) if shows else np.zeros(size, np.bool_)
        if where is not None:
            grown = cv2.resize(one.heat, size[::-1], interpolation=cv2.INTER_LINEAR)
            pixels.count(np.asarray(grown, np.float32), where)
    if not judged:
        raise Refused.of(
            Reason.DATA_SET,
            "pictures that the model has not learned from",
            f"{learned}, all of which it has",
            "other parts; or learn with --keep-back 0.2",
        )
    spent = np.array(times[min(WARM_UP, len(times) - 1) :])
    ms = Milliseconds(
        float(np.median(spent[:, 0])),
        float(np.quantile(spent[:, 0], 0.99)),
        float(np.median(spent[:, 1])),
    )
    accuracy = anomaly_accuracy(judged, pixels, rate)
    return PicturesMeasured(accuracy, tuple(judged), ms, learned, promised_rate(bundle))


def _pictures(folder: Path) -> list[Path]:
    """Of a folder that figures are to be about: of none there are none."""
    paths = picture_paths(folder)
    if not paths:
        hint = "name a folder with JPEG or PNG files in it"
        raise Refused.of(Reason.DATA_SET, f"pictures in {folder}", "none", hint)
    return paths


def learned_digests(bundle: Bundle) -> frozenset[str]:
    """Digests (hex, their beginning) of the pictures that a bundle's card says it learned from."""
    digests = _learned(bundle).get("pictures", [])
    return frozenset(str(d) for d in digests) if isinstance(digests, list) else frozenset()


def promised_rate(bundle: Bundle) -> float | None:
    """The rate of false alarms that a bundle's card promises; None where it promises none."""
    rate = _learned(bundle).get("false_alarms_promised")
    return float(rate) if isinstance(rate, int | float) else None


def _learned(bundle: Bundle) -> dict[str, Any]:
    card = json.loads(bundle.training) if bundle.training else {}
    learned = card.get("learned", {}) if isinstance(card, dict) else {}
    return learned if isinstance(learned, dict) else {}
