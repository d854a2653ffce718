"""The detector: a small convolutional network over frame and golden image, and its export to
ONNX.
"""

from __future__ import annotations

import io

import onnx
import torch
from torch import nn

WIDTH = 64
STEM_WIDTH = 32
DILATIONS = (1, 2, 4, 2, 1)
"""Reach of the trunk's blocks: a cell sees some 200 pixels around it, enough to follow a track past
a defect.
"""


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut; dilation widens what a cell sees, which connectivity
    needs.
    """

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
        """(n, width, h, w) to the same shape."""
        return torch.relu(x + self.body(x))


class Detector(nn.Module):
    """Frame and golden image, (n, 2, h, w) in [0, 1] with h, w multiples of 32, to centre heat (n,
    classes, h/8, w/8) and geometry (n, 4, h/8, w/8).
    """

    def __init__(
        self, classes: int, width: int = WIDTH, dilations: tuple[int, ...] = DILATIONS
    ) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(
            nn.Conv2d(2, STEM_WIDTH, 6, stride=4, padding=1, bias=False),
            nn.BatchNorm2d(STEM_WIDTH),
            nn.ReLU(),
            nn.Conv2d(STEM_WIDTH, STEM_WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(STEM_WIDTH),
            nn.ReLU(),
            nn.Conv2d(STEM_WIDTH, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.trunk = nn.Sequential(*(Residual(width, d) for d in dilations))
        self.head = nn.Conv2d(width, classes + 4, 1)
        nn.init.constant_(self.head.bias[:classes], -4.0)  # type: ignore[index]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the heat, and geometry."""
        out = self.head(self.trunk(self.stem(x - 0.5)))
        return out[:, : self.classes], out[:, self.classes :]


class Exported(nn.Module):
    """The detector as it is shipped: peaks of the heat, everything else zero."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pair: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Heat with non-peaks at 0, and geometry."""
        logits, geometry = self.detector(pair)
        heat = torch.sigmoid(logits)
        peak = nn.functional.max_pool2d(heat, 3, 1, 1)
        return heat * (heat == peak), geometry


def export(model: Detector) -> bytes:
    """The ONNX file, with free batch, height and width. Weights keep their names and normalisation
    stays apart, so that `load_weights` can go on from it.
    """
    file = io.BytesIO()
    torch.onnx.export(
        Exported(model).eval(),
        (torch.zeros(1, 2, 64, 64),),
        file,
        input_names=["pair"],
        output_names=["heat", "geometry"],
        dynamic_axes={
            "pair": {0: "n", 2: "h", 3: "w"},
            "heat": {0: "n", 2: "h8", 3: "w8"},
            "geometry": {0: "n", 2: "h8", 3: "w8"},
        },
        dynamo=False,
        opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    return file.getvalue()


def load_weights(model: Detector, network: bytes) -> int:
    """Take over those weights of an exported detector that fit `model` by name and shape; returns
    how many. The head stays fresh where the classes are others.
    """
    weights = {
        i.name.removeprefix("detector."): onnx.numpy_helper.to_array(i)
        for i in onnx.load_model_from_string(network).graph.initializer
    }
    state = model.state_dict()
    fitting = {
        name: torch.from_numpy(weights[name].copy())
        for name, value in state.items()
        if name in weights and tuple(weights[name].shape) == tuple(value.shape)
    }
    model.load_state_dict({**state, **fitting})
    return len(fitting)
