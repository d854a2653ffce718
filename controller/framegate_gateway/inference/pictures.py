"""Pictures for people, drawn inside the inference child: a frame's boxes, a verdict's card, an
export's mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.heat_grid import lay_heat

Gray = NDArray[np.uint8]  # (h, w)
Colour = NDArray[np.uint8]  # (h, w, 3), BGR
LINE_PX: Final = 24
MARGIN_PX: Final = 12
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_BOX: Final = (0, 0, 255)
_LABEL_GROUND: Final = (32, 32, 32)
_LABEL_INK: Final = (255, 255, 255)
"""BGR; a name brings its ground along, so that it is readable on copper and on paper."""
_LABEL_SCALE: Final = 0.5
_LABEL_PAD: Final = 3
_BADGE: Final = {"PASS": (64, 140, 40), "DEFECT": (40, 40, 190), "UNINSPECTED": (0, 130, 200)}
"""BGR of the strip that names the outcome."""


def boxes(frame: Gray, defects: Sequence[dict[str, Any]], lines: Sequence[str] = ()) -> Colour:
    """The frame in colour with a box and a name for each defect, over `lines` in a strip below.

    A name stands on a ground of its own, above its box or else below its upper edge, and whole
    within the frame, as far as the frame is wide enough.
    """
    colour = np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8)
    return boxes_in_colour(colour, defects, lines)


def boxes_in_colour(
    frame: Colour, defects: Sequence[dict[str, Any]], lines: Sequence[str] = ()
) -> Colour:
    """As `boxes`, of a frame in colour. A defect that bears a heat grid is coloured by it."""
    picture = frame.copy()
    lay_heat(picture, defects)
    for defect in defects:
        x1, y1, x2, y2 = (int(v) for v in defect["box"])
        cv2.rectangle(picture, (x1, y1), (x2, y2), _BOX, 2)
    for defect in defects:  # names last: no box of another defect goes through one
        x1, y1, *_ = (int(v) for v in defect["box"])
        _label(picture, f"{defect['kind']} {defect['score']:.2f}", x1, y1)
    if not lines:
        return picture
    return np.vstack([picture, _strip(lines, frame.shape[1], (255, 255, 255), (0, 0, 0))])


def _label(picture: Colour, text: str, x: int, y: int) -> None:
    """Write `text` on `picture` with its lower left corner at (x, y), moved as far as it takes."""
    height, width = picture.shape[:2]
    shown = _ascii(text)
    scale = _LABEL_SCALE
    (wide, high), below = cv2.getTextSize(shown, _FONT, scale, 1)
    if wide + 2 * _LABEL_PAD > width:
        scale *= (width - 2 * _LABEL_PAD) / wide
        (wide, high), below = cv2.getTextSize(shown, _FONT, scale, 1)
    wide, high = wide + 2 * _LABEL_PAD, high + below + 2 * _LABEL_PAD
    left = max(0, min(x, width - wide))
    top = y - high if y >= high else min(y, height - high)
    top = max(0, top)
    cv2.rectangle(
        picture, (left, top), (left + wide - 1, top + high - 1), _LABEL_GROUND, cv2.FILLED
    )
    base = (left + _LABEL_PAD, top + high - below - _LABEL_PAD)
    cv2.putText(picture, shown, base, _FONT, scale, _LABEL_INK, 1, cv2.LINE_AA)


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
        text = _ascii(line)
        size = cv2.getTextSize(text, _FONT, 0.55, 1)[0][0]
        scale = 0.55 * min(1.0, (width - 2 * MARGIN_PX) / max(size, 1))
        cv2.putText(
            strip, text, (MARGIN_PX, LINE_PX * (number + 1) - 4), _FONT, scale, ink, 1, cv2.LINE_AA
        )
    return strip


def _ascii(text: str) -> str:
    """`text` as far as the font has it."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
