"""Drawn photographs: what a line-scan camera with back light makes of a board's copper."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_simulators.boards.layout import Gray, Rng


@dataclass(frozen=True, slots=True)
class Look:
    """How a line photographs: `thresholded` to black and white or grey; `etch` shifts every edge
    (grey levels, + thins copper), `ragged` roughens it.
    """

    thresholded: bool
    etch: float
    ragged: float
    jitter_px: float
    blur_px: float


def look(rng: Rng, thresholded: bool) -> Look:
    """A camera's and a process's look by chance."""
    ragged = float(rng.uniform(2, 28)) if rng.random() < 0.93 else float(rng.uniform(28, 42))
    return Look(
        thresholded,
        float(rng.normal(0, 14)),
        ragged,
        float(rng.choice([0.0, 0.3, 0.8])),
        float(rng.uniform(0.6, 1.4)),
    )


def capture(rng: Rng, copper: Gray, how: Look, shift_px: float, *, steady: bool = False) -> Gray:
    """Copper (h, w), 255 where it is, as a grey picture with dark copper: moved by about
    `shift_px`, bent a little, blurred, lit, noisy; then thresholded.

    A `steady` line holds its parts straight.
    """
    h, w = copper.shape
    image = (255 - copper).astype(np.float32)
    if shift_px:
        image = _moved(rng, image, shift_px, how.jitter_px, steady)
    image = cv2.GaussianBlur(image, (0, 0), how.blur_px).astype(np.float32)
    rough = _roughness(rng, (h, w))
    if how.thresholded:
        return np.asarray((image + rough * how.ragged > 127 + how.etch) * 255, np.uint8)
    low, high = float(rng.uniform(20, 70)), float(rng.uniform(170, 240))
    slope = np.linspace(
        float(rng.uniform(0.9, 1.0)), float(rng.uniform(0.9, 1.05)), w, dtype=np.float32
    )
    image = (
        (low + image / 255 * (high - low)) * slope
        + rough * float(rng.uniform(2, 10))
        + rng.normal(0, float(rng.uniform(0.5, 5)), (h, w)).astype(np.float32)
    )
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def dust(rng: Rng, image: Gray, how: Look) -> Gray:
    """Specks of a few pixels that are no defect: what an inspector would not mark."""
    out = image.copy()
    h, w = image.shape
    for _ in range(int(rng.poisson(1.5))):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        cv2.circle(
            out,
            (x, y),
            int(rng.integers(0, 2)),
            int(rng.choice([0, 255])) if how.thresholded else int(rng.integers(0, 256)),
            -1,
        )
    return out


def _moved(
    rng: Rng, image: NDArray[np.float32], shift_px: float, jitter_px: float, steady: bool
) -> NDArray[np.float32]:
    """Shifted, turned by a hair, stretched unevenly along the feed, each line a little off."""
    h, w = image.shape
    dx, dy = rng.normal(0, shift_px, 2)
    # a hair, and now and then a part that lies askew or a feed that slips
    much = float(rng.choice([0.0005, 0.0015, 0.005], p=[0.6, 0.25, 0.15]))
    much = 0.0005 if steady else much
    turn, zoom = rng.normal(0, much), rng.normal(0, much, 2)
    ys, xs = np.arange(h, dtype=np.float32), np.arange(w, dtype=np.float32)
    line_x = cv2.GaussianBlur(
        rng.normal(0, 1, (h, 1)).astype(np.float32),
        (1, 61),
        sigmaX=1.0,
        sigmaY=float(rng.choice([1.0, 12.0])),
    )[:, 0]
    line_x = line_x * np.float32(jitter_px / max(float(line_x.std()), 1e-6))
    map_x = (
        xs[None, :] * (1 + zoom[0]) + (ys[:, None] - h / 2) * turn - dx + line_x[:, None]
    ).astype(np.float32)
    map_y = (ys[:, None] * (1 + zoom[1]) - (xs[None, :] - w / 2) * turn - dy).astype(np.float32)
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(
        np.float32
    )


def _roughness(rng: Rng, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Unit noise in grains: fine, coarse or drawn out along the lines."""
    noise = rng.normal(0, 1, shape).astype(np.float32)
    sigma = float(rng.choice([0.5, 1.0, 2.0]))
    noise = cv2.GaussianBlur(
        noise, (0, 0), sigmaX=sigma * float(rng.choice([1.0, 2.5])), sigmaY=sigma
    ).astype(np.float32)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)
