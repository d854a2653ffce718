"""The product's own way of a frame, from encoded bytes to verdict: the service of the inference
child, in eight bits, and what its parent makes of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import cv2
import numpy as np

from framegate.errors import FramegateError, Reason
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.kinds import Look
from framegate.looks.limits import Limit
from framegate.signed.inspected import WHOLE
from framegate.wire import ENCODING_PNG
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Withheld, inspection_of
from framegate_gateway.inference.registration import Gray
from framegate_gateway.inference.service import Service
from framegate_gateway.inference.session import inspects, new_session
from framegate_simulators.evasion.shots import ShotPair

CAMERA = "camera.line-1.cam1"
PART = "part"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a frame: how many defects, the reasons of looks that are past their limits or
    of the gate's refusal, what was measured, and what is known of the camera's sensor.
    """

    defects: int
    reasons: tuple[Reason, ...] = ()
    measured: Mapping[Look, float] = field(default_factory=dict)
    withheld: bool = False
    fingerprint: Fingerprint | None = None

    @property
    def passes(self) -> bool:
        """Whether the part would go on as a good one."""
        return not self.defects and not self.withheld


class Product:
    """One child's service over the shipped bundle; chance by `seed`."""

    def __init__(self, seed: int, threads: int = 2) -> None:
        self.bundle = load_bundle(DEFAULT_BUNDLE)
        inspector = inspects(self.bundle, new_session(self.bundle.model, threads))
        self._service = Service(inspector, self.bundle.known, Random(seed))
        self._ids = 0

    def see(
        self,
        pair: ShotPair,
        limits: Sequence[Limit] = (),
        *,
        frame: Gray | None = None,
        camera: str = CAMERA,
    ) -> Seen:
        """What comes of `frame` (default: the pair's own) of `camera` under the part's `limits`;
        without any, every look measures and none withholds.
        """
        shown = pair.frame if frame is None else frame
        png, golden = (_png(image) for image in (shown, pair.golden))
        self._ids += 1
        rows = [limit.row() for limit in limits]
        request: dict[str, Any] = {
            "id": self._ids,
            "kind": "inspect",
            "part_type": PART,
            "camera": camera,
            "encoding": ENCODING_PNG,
            "width": shown.shape[1],
            "height": shown.shape[0],
            "masks": (),
            "measure": not limits,
            "forget": (),
            "golden_bytes": [len(golden)],
            "rules": {"thresholds": {}, "min_size_px": 0.0, "ignore": (), "looks": rows},
        }
        try:
            answer, _ = self._service.answer(request, golden + png)
            behind = {"golden_sha256": "", "inspected": WHOLE}
            inspection = inspection_of(answer | behind, rows)
        except Withheld as error:
            reasons = tuple(failure.reason for failure in error.failures)
            return Seen(0, reasons, error.inspection.measured, withheld=True)
        except FramegateError as error:
            return Seen(0, (error.reason,), withheld=True)
        reasons = tuple(past.reason for past in inspection.suspicions)
        return Seen(
            len(inspection.defects),
            reasons,
            inspection.measured,
            fingerprint=inspection.fingerprint,
        )


def _png(image: Gray) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def jpeg(image: Gray, quality: int) -> Gray:
    """`image` after a JPEG of this quality."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
