"""Where a part lies in a frame, roughly: turn and scale by the Fourier-Mellin transform (Reddy and
Chatterji 1996), the shift by phase correlation.

The spectrum's size does not know shifts, and in logarithmic polar coordinates a turn and a scale
are one. Which of four quarter turns it is, a spectrum cannot tell: all are tried.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]  # (3, 3), from the golden image's pixels to the frame's

SPECTRUM_PX: Final = 256
"""Side at which spectra are compared: a turn of half a degree moves its rim by a pixel."""
SHIFT_PX: Final = 128
"""Side at which the shift is looked for: good to the pixels that the steps below begin with."""
TURNS: Final = 256
"""Steps of half a turn in logarithmic polar coordinates."""
RADII: Final = 128
_LEAST_RADIUS: Final = 6.0
"""Below it lie slow changes of light, and the window itself."""
MAX_SCALE: Final = 1.12
"""Nearer or further than this is another lens; more is cut off, so that nothing is taken for it."""


class RoughReference(NamedTuple):
    """What of a golden image of `size` (h, w) is worked out once: its spectrum's spectrum, and
    itself in a small square.
    """

    size: tuple[int, int]
    polar: NDArray[np.complex64]
    small: Floats


class Start(NamedTuple):
    """A pose to begin with, and how much it stands out."""

    matrix: Matrix
    peak: float


def rough_reference(half: Gray, quarter: Gray, size: tuple[int, int]) -> RoughReference:
    """By the golden image at half and at a quarter of its resolution."""
    return RoughReference(size, _polar(half).conj(), _squared(quarter, SHIFT_PX))


def rough_poses(golden: RoughReference, half: Gray, quarter: Gray) -> list[Start]:
    """One pose of the golden image for each quarter turn, the likeliest first."""
    turn, scale = _turn_and_scale(golden, half)
    spectrum = np.fft.rfft2(_squared(quarter, SHIFT_PX))
    starts = []
    for number in range(4):
        linear = _similar(turn + number * np.pi / 2, scale, SHIFT_PX)
        shifted = _with_shift(golden, spectrum, linear)
        starts.append(Start(_at_full_size(shifted.matrix, golden.size), shifted.peak))
    return sorted(starts, key=lambda start: -start.peak)


def _squared(image: Gray, side: int, *, window: bool = False) -> Floats:
    """Shrunk into the middle of a square, of mean 0 and deviation 1; a flat image is 0. Not
    stretched: turns of what is stretched are none.
    """
    size = _content(image.shape, side)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    mean, deviation = cv2.meanStdDev(small)
    if float(deviation[0, 0]) <= 1:
        return np.zeros((side, side), np.float32)
    small = (small - np.float32(mean[0, 0])) * np.float32(1 / float(deviation[0, 0]))
    if window:
        small *= _window(size)
    if size == (side, side):
        return np.asarray(small, np.float32)
    square = np.zeros((side, side), np.float32)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def _content(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Width and height of an image of `shape` (h, w) in a square."""
    h, w = shape
    scale = side / max(h, w)
    return max(2, round(w * scale)), max(2, round(h * scale))


@lru_cache(maxsize=8)
def _window(size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.createHanningWindow(size, cv2.CV_32F), np.float32)


_STEP: Final = float(np.log(SPECTRUM_PX / 2 / _LEAST_RADIUS) / RADII)
"""Logarithm of one step of the radius."""


def _polar_maps() -> tuple[Floats, Floats]:
    """Where in the shifted spectrum each (turn, radius) lies."""
    angle = np.pi * (np.arange(TURNS) / TURNS - 0.5)
    radius = _LEAST_RADIUS * np.exp(_STEP * np.arange(RADII))
    x = np.cos(angle)[:, None] * radius[None]
    y = SPECTRUM_PX // 2 + np.sin(angle)[:, None] * radius[None]
    return x.astype(np.float32), y.astype(np.float32)


_POLAR: Final = _polar_maps()


def _polar(image: Gray) -> NDArray[np.complex64]:
    """The spectrum of the spectrum's size in logarithmic polar coordinates."""
    spectrum = np.fft.rfft2(_squared(image, SPECTRUM_PX, window=True))
    size = np.fft.fftshift(np.log1p(np.abs(spectrum)), axes=0).astype(np.float32)
    polar: Floats = np.asarray(cv2.remap(size, *_POLAR, cv2.INTER_LINEAR), np.float32)
    # each radius by itself: what is left says which way the picture's edges run
    polar -= polar.mean(axis=0)
    polar -= polar.mean()
    return np.asarray(np.fft.rfft2(polar), np.complex64)


class _Turned(NamedTuple):
    turn: float
    scale: float


def _turn_and_scale(golden: RoughReference, half: Gray) -> _Turned:
    """In radians, modulo a quarter turn; and how much nearer."""
    cross = _polar(half) * golden.polar
    surface = np.fft.irfft2(cross / (np.sqrt(np.abs(cross)) + 1e-6), (TURNS, RADII))
    reach = int(np.log(MAX_SCALE) / _STEP) + 1
    columns = np.arange(-reach, reach + 1)
    near = surface[:, columns % RADII]
    folded = near + np.roll(near, TURNS // 2, axis=0)
    row, column = np.unravel_index(int(folded.argmax()), folded.shape)
    rows = (np.arange(-1, 2) + row) % TURNS
    dy = _parabola(folded[rows, column])
    across = folded[row, max(0, column - 1) : column + 2]
    dx = _parabola(across) if len(across) == 3 else 0.0
    turn = np.pi * (row + dy) / TURNS
    quarter = np.pi / 2
    turn = (turn + quarter / 2) % quarter - quarter / 2
    # a part that is nearer has a smaller spectrum
    return _Turned(turn, float(np.exp(-_STEP * (columns[column] + dx))))


def _parabola(three: NDArray[Any]) -> float:
    """Where between three values the top of the parabola through them lies, in [-0.5, 0.5]."""
    left, middle, right = (float(v) for v in three)
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _similar(turn: float, scale: float, side: int) -> Matrix:
    """Turned and scaled about the middle of a square."""
    middle = (side - 1) / 2
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array(
        [
            [c, -s, middle - c * middle + s * middle],
            [s, c, middle - s * middle - c * middle],
            [0, 0, 1],
        ]
    )


def _with_shift(golden: RoughReference, spectrum: NDArray[Any], linear: Matrix) -> Start:
    """The pose with the shift that makes golden image and frame most alike, and how alike."""
    side = SHIFT_PX
    turned = cv2.warpPerspective(golden.small, linear, (side, side), flags=cv2.INTER_LINEAR)
    cross = spectrum * np.fft.rfft2(turned).conj()
    size = np.abs(cross)
    surface = np.fft.irfft2(cross / (np.sqrt(size * size.mean()) + 1e-6), (side, side))
    reach = int(side * 0.3)
    near = np.arange(-reach, reach + 1)
    window = surface[np.ix_(near % side, near % side)]
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    matrix = np.eye(3)
    matrix[0, 2], matrix[1, 2] = near[column], near[row]
    return Start(matrix @ linear, float(window[row, column]))


def _at_full_size(matrix: Matrix, size: tuple[int, int]) -> Matrix:
    """A pose of the square as one of the whole image."""
    wide, high = _content(size, SHIFT_PX)
    x, y = wide / size[1], high / size[0]
    left, top = (SHIFT_PX - wide) // 2, (SHIFT_PX - high) // 2
    # the middle of the first pixel of a shrunk image lies at (1 / scale - 1) / 2
    down = np.array([[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2], [0, 0, 1.0]])
    return np.asarray(np.linalg.inv(down) @ matrix @ down)
