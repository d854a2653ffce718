"""Train the default defect detector on drawn boards alone and export it to ONNX with its measured card.

Usage: python -m framegate_simulators.train --out DIR [--minutes N] [--boards N]. Needs torch, onnx and onnxscript, which
nothing else in Framegate does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from framegate_gateway.inference.detections import STRIDE_PX, detections_from_maps
from framegate_simulators.accuracy import Score, score_detections
from framegate_simulators.boards import CLASSES, SIZE_PX, Board, draw_board

CROP_PX: Final = 320
BATCH: Final = 16
HELD_OUT_SEED: Final = 1_000_000
"""Boards from this seed on are never trained on."""
HELD_OUT_BOARDS: Final = 200
CALIBRATION_BOARDS: Final = 80
"""Boards between training and held-out ones on which the threshold is chosen."""


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut; dilation widens what a cell sees, which connectivity needs."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


class Detector(nn.Module):
    """Frame and golden image, (n, 2, h, w) in [0, 1] with h, w multiples of 32, to centre heat (n, 6, h/8, w/8) and geometry (n, 4, h/8, w/8)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.trunk = nn.Sequential(Residual(width, 1), Residual(width, 2), Residual(width, 4), Residual(width, 1))
        self.head = nn.Conv2d(width, len(CLASSES) + 4, 1)
        nn.init.constant_(self.head.bias[: len(CLASSES)], -4.0)  # type: ignore[index]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.head(self.trunk(self.stem(x - 0.5)))
        return out[:, : len(CLASSES)], out[:, len(CLASSES) :]


class Exported(nn.Module):
    """The detector as it is shipped: peaks of the heat, everything else zero."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pair: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, geometry = self.detector(pair)
        heat = torch.sigmoid(logits)
        peak = nn.functional.max_pool2d(heat, 3, 1, 1)
        return heat * (heat == peak), geometry


def targets(board_boxes: np.ndarray, kinds: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heat (6, s, s), geometry (4, s, s) and its mask (s, s) for boxes (n, 4) inside a crop of `size` pixels."""
    s = size // STRIDE_PX
    heat, geometry, mask = np.zeros((6, s, s), np.float32), np.zeros((4, s, s), np.float32), np.zeros((s, s), np.float32)
    gy, gx = np.mgrid[0:s, 0:s]
    for (x1, y1, x2, y2), kind in zip(board_boxes, kinds, strict=True):
        cx, cy, w, h = (x1 + x2) / 2 / STRIDE_PX, (y1 + y2) / 2 / STRIDE_PX, (x2 - x1) / STRIDE_PX, (y2 - y1) / STRIDE_PX
        ix, iy = int(cx), int(cy)
        if not (0 <= ix < s and 0 <= iy < s):
            continue
        bell = np.exp(-(((gx - ix) ** 2) / (2 * (0.13 * w + 0.25) ** 2) + ((gy - iy) ** 2) / (2 * (0.13 * h + 0.25) ** 2)))
        heat[kind] = np.maximum(heat[kind], bell)
        for y in range(max(0, iy - 1), min(s, iy + 2)):
            for x in range(max(0, ix - 1), min(s, ix + 2)):
                geometry[:, y, x] = (cx - x, cy - y, np.log(w), np.log(h))
                mask[y, x] = 1
    return heat, geometry, mask


def sample(rng: np.random.Generator, board: Board) -> tuple[np.ndarray, ...]:
    """A random crop of one board, turned, mirrored and re-lit: input (2, c, c) and its targets."""
    frame, golden = board.frame, board.golden
    boxes = np.array([(d.x1, d.y1, d.x2, d.y2) for d in board.defects], np.float32).reshape(-1, 4)
    kinds = np.array([CLASSES.index(d.kind) for d in board.defects], int)
    x, y = (int(v) for v in rng.integers(0, SIZE_PX - CROP_PX + 1, 2))
    if len(boxes) and rng.random() < 0.6:
        b = boxes[rng.integers(0, len(boxes))]
        x = int(np.clip((b[0] + b[2]) / 2 - rng.uniform(20, CROP_PX - 20), 0, SIZE_PX - CROP_PX))
        y = int(np.clip((b[1] + b[3]) / 2 - rng.uniform(20, CROP_PX - 20), 0, SIZE_PX - CROP_PX))
    pair = np.stack([frame[y : y + CROP_PX, x : x + CROP_PX], golden[y : y + CROP_PX, x : x + CROP_PX]]).astype(np.float32) / 255
    boxes = boxes - np.array([x, y, x, y], np.float32)
    if rng.random() < 0.5:
        pair, boxes = pair[:, :, ::-1], np.stack([CROP_PX - boxes[:, 2], boxes[:, 1], CROP_PX - boxes[:, 0], boxes[:, 3]], 1)
    if rng.random() < 0.5:
        pair, boxes = pair.transpose(0, 2, 1), boxes[:, [1, 0, 3, 2]]
    if rng.random() < 0.3:
        pair = pair * rng.uniform(0.7, 1.0, (2, 1, 1)) + rng.uniform(0, 0.15, (2, 1, 1))
    return (np.ascontiguousarray(pair, np.float32), *targets(boxes, kinds, CROP_PX))


def loss_of(logits: torch.Tensor, geometry: torch.Tensor, heat: torch.Tensor, want: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Focal loss of the heat (Zhou et al., Objects as Points, equation 1) plus L1 of the geometry."""
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    peak = heat > 0.99
    focal = torch.where(peak, (1 - p) ** 2 * torch.log(p), (1 - heat) ** 4 * p**2 * torch.log(1 - p))
    count = peak.sum().clamp(min=1)
    shape = ((geometry - want).abs() * mask[:, None]).sum() / mask.sum().clamp(min=1)
    return -focal.sum() / count + 0.5 * shape


def train(boards: list[Board], minutes: float, seed: int = 7) -> Detector:
    """A detector trained for `minutes` of wall time on `boards`; prints its progress once a minute."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Detector()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    begun, step, said, running = time.monotonic(), 0, 0, 0.0
    while (passed := (time.monotonic() - begun) / 60) < minutes:
        done = passed / minutes
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1.0, step / 200) * (0.5 * (1 + np.cos(np.pi * done)) + 0.002)
        batch = [sample(rng, boards[int(i)]) for i in rng.integers(0, len(boards), BATCH)]
        pair, heat, geometry, mask = (torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True))
        loss = loss_of(*model(pair), heat, geometry, mask)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        step += 1
        if int(passed) > said:
            said = int(passed)
            print(f"{said:3d} of {minutes:.0f} min  step {step}  loss {running:.3f}", flush=True)
    return model.eval()


def evaluate(model: nn.Module, boards: list[Board], threshold: float) -> Score:
    """Score of `model` on whole boards, by `score_detections`."""
    results = []
    with torch.no_grad():
        for board in boards:
            pair = torch.from_numpy(np.stack([board.frame, board.golden])[None].astype(np.float32) / 255)
            heat, geometry = model(pair)
            results.append((board, detections_from_maps(heat[0].numpy(), geometry[0].numpy(), 0.05)))
    return score_detections(results, threshold)


def export(model: Detector, path: Path) -> str:
    """Write the ONNX file (free height and width) and return its SHA-256."""
    torch.onnx.export(
        Exported(model),
        (torch.zeros(1, 2, SIZE_PX, SIZE_PX),),
        str(path),
        input_names=["pair"],
        output_names=["heat", "geometry"],
        dynamic_axes={"pair": {0: "n", 2: "h", 3: "w"}, "heat": {0: "n"}, "geometry": {0: "n"}},
        dynamo=False,
        opset_version=17,
    )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _draw(seed: int) -> Board:
    return draw_board(seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--boards", type=int, default=3500)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    with Pool(args.threads) as pool:
        print(f"drawing {args.boards} boards", flush=True)
        boards = pool.map(_draw, range(args.boards), chunksize=25)
        calibration = pool.map(_draw, range(HELD_OUT_SEED - CALIBRATION_BOARDS, HELD_OUT_SEED))
        held_out = pool.map(_draw, range(HELD_OUT_SEED, HELD_OUT_SEED + HELD_OUT_BOARDS))
    model = train(boards, args.minutes)
    exported = Exported(model).eval()
    threshold = max((evaluate(exported, calibration, t / 100).f1, t / 100) for t in range(15, 75, 5))[1]
    score = evaluate(exported, held_out, threshold)
    digest = export(model, args.out / "model.onnx")
    weights = sum(p.numel() for p in model.parameters())
    recipe: dict[str, Any] = {"name": "board-defects", "version": 1, "classes": list(CLASSES), "threshold": threshold, "multiple_px": 32, "model_sha256": digest}
    (args.out / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")
    figures = {"weights": weights, "minutes": args.minutes, "boards_trained_on": args.boards, "held_out_boards": HELD_OUT_BOARDS, "threshold": threshold, **score.as_dict()}
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    generator = Path(__file__).with_name("boards.py")
    manifest = {
        "format": "framegate-training-1", "source": f"{args.boards} drawn boards, seeds 0 to {args.boards - 1}; nothing photographed",
        "generator": "simulators/framegate_simulators/boards.py", "generator_sha256": hashlib.sha256(generator.read_bytes()).hexdigest(), "boards": args.boards,
        "minutes": args.minutes, "model_sha256": digest,
    }  # fmt: skip
    (args.out / "training.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
