"""The backbone computes what its weights were trained for."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from framegate_models import pretrained
from framegate_models.backbone import (
    CHANNELS,
    DEVIATION,
    MEAN,
    STRIDES,
    GraphParts,
    add_backbone,
)


def photograph(side: int) -> np.ndarray:
    """(1, 3, side, side): noise with the spectrum and the grey colours of photographs."""
    rng = np.random.default_rng(0)
    far = np.fft.fftfreq(side)[:, None] ** 2 + np.fft.fftfreq(side)[None] ** 2
    far[0, 0] = 1
    planes = [
        np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / np.sqrt(far)).real
        for _ in range(3)
    ]
    planes = [plane / plane.std() for plane in planes]
    colours = np.stack([0.9 * planes[0] + 0.3 * plane for plane in planes])
    return np.clip(colours * 55 + 120, 0, 255)[None].astype(np.float32)


def test_each_normalisation_meets_the_mean_and_spread_that_it_was_trained_with():
    pytest.importorskip(pretrained.PACKAGE, reason="the extra learn is not installed")
    weights, parts = pretrained.read_weights(), GraphParts()
    maps = add_backbone(parts, weights, "image", 7)
    before = [node.output[0] for node in parts.nodes if node.op_type == "Conv"][:5]
    value = onnx.helper.make_tensor_value_info
    kind, any_shape = onnx.TensorProto.FLOAT, [1, None, None, None]
    names = [*before, *maps]
    outputs = [value(name, kind, any_shape) for name in names]
    model = parts.model(value("image", kind, [1, 3, 224, 224]), outputs, "backbone")
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    said = session.run(names, {"image": (photograph(224) - MEAN) / DEVIATION})
    norms = ["_bn0", "_blocks.0._bn1", "_blocks.0._bn2", "_blocks.1._bn0", "_blocks.1._bn1"]
    for norm, values in zip(norms, said, strict=False):
        shift, scale = (weights[f"{norm}.{name}"] for name in ("bias", "weight"))
        plain = (values[0] - shift[:, None, None]) / scale[:, None, None]
        assert np.median(np.abs(plain.mean(axis=(1, 2)))) < 0.15, norm
        assert 0.5 < np.median(plain.std(axis=(1, 2))) < 1.8, norm
    for channels, stride, values in zip(CHANNELS, STRIDES, said[5:], strict=True):
        assert values.shape == (1, channels, 224 // stride, 224 // stride)
