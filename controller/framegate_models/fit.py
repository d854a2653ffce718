"""Fitting a detector to labelled pairs, for a given time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from framegate_models.batches import Batches, ahead
from framegate_models.network import Detector
from framegate_models.sampling import LabelledPair

BATCH: Final = 16
WARM_UP_STEPS: Final = 200
AVERAGED: Final = 0.999
"""Decay of the running average of the weights, which is what is kept: it is steadier than the last
step.
"""
SHAPE_WEIGHT: Final = 0.5
LOOKED_AT: Final = 10
"""Steps between two looks at the loss."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands: minutes passed of those wanted, optimiser steps, running loss."""

    passed: float
    minutes: float
    step: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a fit goes, in `minutes` of wall time, and by which steps: of `batch` crops, which
    `samplers` processes make (0: a thread), at a peak learning rate of `rate`, on `device`.
    """

    minutes: float
    seed: int = 7
    rate: float = 3e-3
    device: str = "cpu"
    batch: int = BATCH
    samplers: int = 0


def loss_of(
    logits: torch.Tensor,
    geometry: torch.Tensor,
    heat: torch.Tensor,
    want: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Focal loss of the heat (Zhou et al., Objects as Points, equation 1) plus L1 of the
    geometry.
    """
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    peak = heat > 0.99
    focal = torch.where(
        peak, (1 - p) ** 2 * torch.log(p), (1 - heat) ** 4 * p**2 * torch.log(1 - p)
    )
    count = peak.sum().clamp(min=1)
    shape = ((geometry - want).abs() * mask[:, None]).sum() / mask.sum().clamp(min=1)
    return -focal.sum() / count + SHAPE_WEIGHT * shape


def best_device() -> str:
    """ "cuda" where there is one, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fit(
    model: Detector,
    pairs: Sequence[LabelledPair],
    classes: tuple[str, ...],
    schedule: Schedule,
    said: Callable[[Progress], None] = lambda _: None,
) -> Detector:
    """`model` fitted to `pairs` by `schedule`; calls `said` about four times a minute. Raises
    ValueError where there is no pair.
    """
    if not pairs:
        raise ValueError("expected labelled pairs to train on, got none")
    minutes, device = schedule.minutes, schedule.device
    torch.manual_seed(schedule.seed)
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.rate, weight_decay=1e-4)

    batches = Batches(pairs, classes, schedule.batch, schedule.seed)
    source = ahead(batches, schedule.samplers)
    coming = next(source)
    begun, step, running, told = time.monotonic(), 0, 0.0, 0.0
    while (passed := (time.monotonic() - begun) / 60) < minutes:
        for group in optimiser.param_groups:
            group["lr"] = (
                schedule.rate
                * min(1.0, (step + 1) / WARM_UP_STEPS)
                * (0.5 * (1 + np.cos(np.pi * passed / minutes)) + 0.002)
            )
        crops, light, heat, geometry, mask = (t.to(device) for t in coming)
        # half precision of sixteen bits halves the time where the processor has it, and harms
        # nothing: the weights stay whole
        pair = crops.float().div_(255) * light[:, :, 0, None, None] + light[:, :, 1, None, None]
        with torch.autocast(device, torch.bfloat16):
            predicted = model(pair.contiguous(memory_format=torch.channels_last))
        loss = loss_of(predicted[0].float(), predicted[1].float(), heat, geometry, mask)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        _follow(average, model, min(AVERAGED, (step + 1) / (step + 10)))
        coming = next(source)
        if step == 1 or step % LOOKED_AT == 0:  # to look at a GPU's number is to wait for it
            value = float(loss.detach())
            running = value if step == 1 else 0.8 * running + 0.2 * value
        if passed - told >= 0.25:
            told = passed
            said(Progress(passed, minutes, step, running))
    return average.to("cpu").eval()


def _follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    with torch.no_grad():
        mine, theirs = average.state_dict(), model.state_dict()
        whole = [name for name, value in mine.items() if value.dtype.is_floating_point]
        torch._foreach_mul_([mine[name] for name in whole], keep)
        torch._foreach_add_(
            [mine[name] for name in whole], [theirs[name] for name in whole], alpha=1 - keep
        )
        for name in mine.keys() - set(whole):
            mine[name].copy_(theirs[name])


def maps_of(model: nn.Module, pair: LabelledPair) -> tuple[Any, Any]:
    """Peak heat (classes, h/8, w/8) and geometry (4, h/8, w/8) of a whole pair by `Exported`, as
    arrays.
    """
    with torch.no_grad():
        heat, geometry = model(
            torch.from_numpy(np.stack([pair.frame, pair.golden])[None].astype(np.float32) / 255)
        )
    return heat[0].numpy(), geometry[0].numpy()
