"""Perturbations by the gradient of the shipped network in floating point (projected gradient
descent, Madry et al., arXiv:1706.06083, with momentum, Dong et al., arXiv:1710.06081). Needs
PyTorch; whatever they reach is judged elsewhere, by the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.bending import register_bent
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE
from framegate_gateway.inference.detections import uncalibrated
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.registration import Gray, reference
from framegate_models.network import Detector, load_weights
from framegate_simulators.evasion.shots import ShotPair

Window = tuple[slice, slice]
"""Rows and columns."""
CELL_PX: Final = 32
CUT_CELLS: Final = 6
"""Cells of eight pixels along the window's edge that are not listened to."""
SURE: Final = 0.6
"""By how much, in logits, a perturbation has to pass the threshold: eight bits round."""
MOMENTUM: Final = 0.9
SMOOTH_PX: Final = 3.0
"""Deviation of the blur that a smooth perturbation is made under."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a frame is perturbed. `epsilon`: grey levels that a pixel may change; `steps` at most;
    `alarm`: make a defect appear instead of hiding what there is; `where` (h, w) bool: pixels that
    may change, None for all; `smooth` and `turned`: so that neither fine grain nor a mirrored
    second question shows it. `window`: only this piece of the frame, whose corners are multiples
    of `CELL_PX`, is looked at and changed, as the network sees a defect by what is around it.
    """

    epsilon: float
    steps: int
    alarm: bool = False
    where: NDArray[np.bool_] | None = None
    smooth: bool = False
    turned: bool = False
    window: Window | None = None


class Gradient:
    """The shipped network in floating point, and its gradients."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        """Raises Unavailable (MODEL) where the weights do not fit."""
        self._network = Detector(len(recipe.classes))
        weights = (DEFAULT_BUNDLE / "weights.onnx").read_bytes()
        taken, all_ = load_weights(self._network, weights), self._network.state_dict()
        wanted = sum(not name.endswith("num_batches_tracked") for name in all_)
        if taken < wanted:
            raise Unavailable.of(Reason.MODEL, f"{wanted} weights of the network", taken)
        self._network.eval().requires_grad_(False)
        raw = uncalibrated(recipe.threshold, recipe.calibration)
        self._threshold = float(np.log(raw / (1 - raw)))
        self._chance = torch.Generator().manual_seed(seed)

    def perturbed(self, pair: ShotPair, how: Attempt) -> Gray:
        """The frame after the attempt, whether it got there or not."""
        moved = register_bent(reference(pair.golden), pair.frame).golden
        here = (slice(None), slice(None)) if how.window is None else how.window
        frame, golden = (
            torch.from_numpy(image[here].astype(np.float32) / 255) for image in (pair.frame, moved)
        )
        limit = how.epsilon / 255
        free = torch.ones_like(frame)
        if how.where is not None:
            free = torch.from_numpy(how.where[here]).float()
        start = torch.rand(frame.shape, generator=self._chance) * 2 - 1
        change = start * min(limit, 16 / 255) * free / 2
        speed = torch.zeros_like(change)
        for _ in range(how.steps):
            change.requires_grad_()
            shown = (frame + _shaped(change, how)).clamp(0, 1)
            loss = self._loss(shown, golden, how)
            if float(loss.detach()) <= 0 and not how.turned:
                break
            (slope,) = torch.autograd.grad(loss, change)
            speed = MOMENTUM * speed + slope / slope.abs().mean().clamp_min(1e-12)
            step = max(limit / 6, 1 / 255)
            change = (change.detach() - step * speed.sign() * free).clamp(-limit, limit)
        shown = (frame + _shaped(change.detach(), how)).clamp(0, 1)
        result = pair.frame.copy()
        result[here] = (shown * 255).round().numpy().astype(np.uint8)
        return result

    def _loss(self, shown: Any, golden: Any, how: Attempt) -> Any:
        pair = torch.stack([shown, golden])[None]
        if how.turned:
            pair = self._turned(pair)
        logits, _ = self._network(pair)
        if how.window is not None:  # along a cut the network sees what the whole frame has not
            logits = logits[:, :, CUT_CELLS:-CUT_CELLS, CUT_CELLS:-CUT_CELLS]
        if how.alarm:
            top = logits.flatten().topk(3).values
            return torch.relu(self._threshold + SURE - top).sum()
        return torch.relu(logits - (self._threshold - SURE)).sum()

    def _turned(self, pair: Any) -> Any:
        """Mirrored and moved by chance, as a second question is."""
        for side in (2, 3):
            if float(torch.rand(1, generator=self._chance)) < 0.5:
                pair = pair.flip(side)
        x, y = (int(n) for n in torch.randint(-7, 8, (2,), generator=self._chance))
        return torch.roll(pair, (y, x), (2, 3))


def _shaped(change: Any, how: Attempt) -> Any:
    if not how.smooth:
        return change
    reach = int(3 * SMOOTH_PX)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * SMOOTH_PX**2))
    kernel = kernel / kernel.sum()
    image = change[None, None]
    image = torch.nn.functional.conv2d(image, kernel[None, None, None], padding=(0, reach))
    image = torch.nn.functional.conv2d(image, kernel[None, None, :, None], padding=(reach, 0))
    # a blur takes most of a perturbation's strength away: what is left is brought up again
    return (4 * image[0, 0]).clamp(-how.epsilon / 255, how.epsilon / 255)
