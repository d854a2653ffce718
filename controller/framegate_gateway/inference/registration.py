"""Registration: by how much a frame lies beside its golden image, to a fraction of a pixel, and the
golden image moved to fit it.

Phase correlation at half resolution (Kuglin and Hines 1975) with the golden image's spectrum kept,
refined by least squares on the gradients. A frame that lies nearly where it should needs no
correlation. The golden image is what moves: the frame, which verdicts are about, is judged as it
came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]

MAX_SHIFT_PX: Final = 24.0
"""A part that lies further off its place is not where the fixture holds parts; and a repeating
pattern a pitch away must not be taken for it.
"""
MIN_LIKENESS: Final = 0.45
"""Correlation of frame and moved golden image below which they do not show the same thing; a real
board with fifteen defects stays above 0.8.
"""
FLAT: Final = 2.0
"""Standard deviation of grey values below which an image has nothing to be registered by."""
NOTHING_PX: Final = 0.04
"""A shift that is not worth moving an image for."""
_PEAK_PX: Final = 2
"""Half width of the window whose centroid is the peak."""
STEPS: Final = 2
"""Steps of least squares on the gradients (Lucas and Kanade 1981): from where the part should lie,
or from the correlation's peak, which lies between pixels only roughly.
"""
SETTLED_PX: Final = 0.15
"""A last step, at half resolution, below which the least squares have settled."""
CERTAIN: Final = 0.85
"""Likeness at which a settled small shift is believed without a correlation: most frames lie so,
and cost a third.
"""
MIN_HALF_PX: Final = 8
"""Images that are smaller, halved, have nothing to be registered by."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A golden image ready to be compared: `image` (h, w) uint8, `half` at half resolution float32,
    its gradients, and the conjugate spectrum of it under `window`.
    """

    image: Gray
    half: Floats
    gradients: tuple[Floats, Floats]
    window: Floats
    spectrum: NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Registered:
    """`golden` (h, w) uint8 moved by `shift` (x, y in pixels) to lie under the frame; `likeness` in
    [-1, 1] is their correlation then, 0 for a flat image. Where more than a shift was put right,
    `matrix` (3, 3) takes the golden image's pixels to the frame's.
    """

    golden: Gray
    shift: tuple[float, float]
    likeness: float
    matrix: NDArray[np.float64] | None = None


def reference(image: Gray) -> Reference:
    """What of a golden image (h, w) uint8 is computed once."""
    half = halved(image)
    if min(half.shape) < MIN_HALF_PX:
        return Reference(image, half, (half, half), half, np.zeros((0, 0), np.complex64))
    window = np.asarray(cv2.createHanningWindow(half.shape[::-1], cv2.CV_32F), np.float32)
    return Reference(
        image,
        half,
        _gradients(half),
        window,
        np.asarray(np.fft.rfft2(_centred(half) * window).conj(), np.complex64),
    )


def halved(image: Gray) -> Floats:
    """The image at half resolution, float32, sides rounded down to even ones."""
    h, w = image.shape
    return np.asarray(
        cv2.resize(image, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA),
        np.float32,
    )


def register(golden: Reference, frame: Gray, half: Floats | None = None) -> Registered:
    """The golden image moved under the frame, of the same shape; `half` is `halved(frame)` where
    the caller has it.

    Where no shift makes the two more alike than none, none is taken. Whether they are alike enough
    to be compared is for the caller: `MIN_LIKENESS`.
    """
    half = halved(frame) if half is None else half
    still = _likeness(golden.half, half)
    if min(half.shape) < MIN_HALF_PX:
        return Registered(golden.image, (0.0, 0.0), still)
    shift, likeness = _settled(golden, half, (0.0, 0.0), golden.gradients)
    if shift is None or likeness < CERTAIN:
        peak = _shift(golden, half)
        settled, other = _settled(golden, half, peak, None)
        if shift is None or other > likeness:
            shift, likeness = settled or peak, other
    shift = 2 * shift[0], 2 * shift[1]
    if likeness <= still or not NOTHING_PX < max(map(abs, shift)) <= MAX_SHIFT_PX:
        return Registered(golden.image, (0.0, 0.0), still)
    return Registered(_moved(golden.image, shift), shift, likeness)


def _settled(
    golden: Reference,
    half: Floats,
    at: tuple[float, float],
    gradients: tuple[Floats, Floats] | None,
) -> tuple[tuple[float, float] | None, float]:
    """(shift at half resolution after `STEPS` of least squares from `at`, None where they did not
    settle; likeness there). `gradients` where moving does not change them much.
    """
    (x, y), moved = at, golden.half if at == (0.0, 0.0) else _moved(golden.half, at)
    more = (1.0, 1.0)
    for _ in range(STEPS):
        more = _remainder(_gradients(moved) if gradients is None else gradients, moved, half)
        x, y = x + more[0], y + more[1]
        moved = _moved(golden.half, (x, y))
    settled = max(map(abs, more)) < SETTLED_PX
    return ((x, y) if settled else None), _likeness(moved, half)


def _shift(golden: Reference, half: Floats) -> tuple[float, float]:
    """The frame's offset from the golden image at half resolution, x and y, at most half of
    `MAX_SHIFT_PX` each, good to half a pixel.
    """
    cross = np.fft.rfft2(_centred(half) * golden.window)
    cross *= golden.spectrum
    size = np.abs(cross)
    # the mean keeps frequencies that carry nothing from being amplified into noise
    cross /= size + (float(size.mean()) * 0.1 + 1e-6)
    surface = np.fft.irfft2(cross, half.shape)
    h, w = surface.shape
    reach_x, reach_y = (
        min(int(MAX_SHIFT_PX / 2), (w - 1) // 2),
        min(int(MAX_SHIFT_PX / 2), (h - 1) // 2),
    )
    rows, columns = np.arange(-reach_y, reach_y + 1), np.arange(-reach_x, reach_x + 1)
    near = surface[np.ix_(rows % h, columns % w)]
    y, x = np.unravel_index(int(near.argmax()), near.shape)
    ys, xs = (
        slice(max(0, y - _PEAK_PX), y + _PEAK_PX + 1),
        slice(max(0, x - _PEAK_PX), x + _PEAK_PX + 1),
    )
    peak = np.clip(near[ys, xs], 0, None)
    total = float(peak.sum())
    if total <= 0:
        return 0.0, 0.0
    return float((peak.sum(0) @ columns[xs]) / total), float((peak.sum(1) @ rows[ys]) / total)


def _gradients(image: Floats) -> tuple[Floats, Floats]:
    x, y = (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, *order, ksize=3, scale=0.125), np.float32)
        for order in ((1, 0), (0, 1))
    )
    return x, y


def _remainder(
    gradients: tuple[Floats, Floats], moved: Floats, half: Floats
) -> tuple[float, float]:
    """What is left of the shift between two nearly aligned images, at most a pixel each way: one
    step of least squares, damped where an image has edges of one direction alone.
    """
    gx, gy, off = gradients[0].ravel(), gradients[1].ravel(), (half - moved).ravel()
    a, b, c = float(gx @ gx), float(gx @ gy), float(gy @ gy)
    damping = 1e-3 * (a + c) + 1e-6
    a, c = a + damping, c + damping
    p, q = float(gx @ off), float(gy @ off)
    determinant = a * c - b * b
    return float(np.clip(-(c * p - b * q) / determinant, -1, 1)), float(
        np.clip(-(a * q - b * p) / determinant, -1, 1)
    )


def _centred(image: Floats) -> Floats:
    return np.asarray(image - image.mean(), np.float32)


def _moved(image: Any, shift: tuple[float, float]) -> Any:
    h, w = image.shape
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    return cv2.warpAffine(
        image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _likeness(a: Floats, b: Floats) -> float:
    """Correlation coefficient of two images; 0 where one is flat."""
    (mean_a, dev_a), (mean_b, dev_b) = (cv2.meanStdDev(image) for image in (a, b))
    if dev_a[0, 0] < FLAT or dev_b[0, 0] < FLAT:
        return 0.0
    return float(
        (np.dot(a.ravel(), b.ravel()) / a.size - mean_a[0, 0] * mean_b[0, 0])
        / (dev_a[0, 0] * dev_b[0, 0])
    )
