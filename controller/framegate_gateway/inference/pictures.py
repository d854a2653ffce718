"""Pictures for people, drawn inside the inference child: a frame's boxes, a verdict's card, an
export's mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]  # (h, w)
Colour = NDArray[np.uint8]  # (h, w, 3), BGR
LINE_PX: Final = 24
MARGIN_PX: Final = 12
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_BADGE: Final = {"PASS": (64, 140, 40), "DEFECT": (40, 40, 190), "UNINSPECTED": (0, 130, 200)}
"""BGR of the strip that names the outcome."""


def boxes(frame: Gray, defects: Sequence[dict[str, Any]]) -> Colour:
    """The frame in colour with a box and a name for each defect."""
    picture = np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8)
    for defect in defects:
        x1, y1, x2, y2 = (int(v) for v in defect["box"])
        cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 255), 2)
        cv2.putText(
            picture,
            f"{defect['kind']} {defect['score']:.2f}",
            (x1, max(12, y1 - 4)),
            _FONT,
            0.5,
            (255, 64, 0),
            2,
        )
    return picture


def card(
    frame: Gray,
    golden: Gray | None,
    defects: Sequence[dict[str, Any]],
    outcome: str,
    lines: Sequence[str],
) -> Colour:
    """Golden image and frame side by side under a strip in the outcome's colour with `lines`."""
    marked = boxes(frame, defects)
    h, w = frame.shape
    left = np.full((h, w, 3), 235, np.uint8)
    if golden is None:
        cv2.putText(
            left, "no golden image", (MARGIN_PX, h // 2), _FONT, 0.7, (90, 90, 90), 1, cv2.LINE_AA
        )
    else:
        left = np.asarray(
            cv2.cvtColor(
                golden if golden.shape == frame.shape else cv2.resize(golden, (w, h)),
                cv2.COLOR_GRAY2BGR,
            ),
            np.uint8,
        )
    body = np.hstack([left, np.full((h, MARGIN_PX, 3), 255, np.uint8), marked])
    captions = np.full((LINE_PX + 8, body.shape[1], 3), 255, np.uint8)
    cv2.putText(
        captions, "golden image", (MARGIN_PX, LINE_PX - 4), _FONT, 0.6, (60, 60, 60), 1, cv2.LINE_AA
    )
    cv2.putText(
        captions,
        f"frame, {len(defects)} defect{'' if len(defects) == 1 else 's'}",
        (w + 2 * MARGIN_PX, LINE_PX - 4),
        _FONT,
        0.6,
        (60, 60, 60),
        1,
        cv2.LINE_AA,
    )
    return np.vstack(
        [
            _strip(lines, body.shape[1], _BADGE.get(outcome, (90, 90, 90)), (255, 255, 255)),
            captions,
            body,
        ]
    )


def marked(frame: Gray, lines: Sequence[str]) -> Colour:
    """The frame with `lines` in a strip below it: no pixel of the part is covered."""
    picture = np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.vstack([picture, _strip(lines, frame.shape[1], (255, 255, 255), (0, 0, 0))])


def _strip(
    lines: Sequence[str], width: int, ground: tuple[int, int, int], ink: tuple[int, int, int]
) -> Colour:
    strip = np.full((LINE_PX * len(lines) + MARGIN_PX, width, 3), ground, np.uint8)
    for number, line in enumerate(lines):
        text = "".join(c if " " <= c <= "~" else "?" for c in line)
        size = cv2.getTextSize(text, _FONT, 0.55, 1)[0][0]
        scale = 0.55 * min(1.0, (width - 2 * MARGIN_PX) / max(size, 1))
        cv2.putText(
            strip, text, (MARGIN_PX, LINE_PX * (number + 1) - 4), _FONT, scale, ink, 1, cv2.LINE_AA
        )
    return strip
