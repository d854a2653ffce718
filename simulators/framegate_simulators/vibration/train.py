"""Train the vibration model from nothing, on drawn windows alone, and write its bundle with its
measured card: numpy and onnx, less than a minute of one core.

Usage: python -m framegate_simulators.vibration.train --out DIR [--windows N] [--seed N].
The same seed gives the same weights on one machine; another's sums may round otherwise, and known
answers say whether that matters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from framegate.payload.series.form import Series, marshal_series, parse_series
from framegate.payload.series.kind import SERIES
from framegate.payload.series.recipe import ENVELOPE, KURTOSIS, LEVEL, SPECTRUM, parse_input
from framegate.payload.series.signal import row_of
from framegate.wire import sha256
from framegate_gateway.inference.bundle import Bundle, load_bundle, write_bundle
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.recipe import Output, Recipe, Tensor
from framegate_gateway.inference.recipe_json import recipe_body
from framegate_simulators.vibration.machine_signal import (
    BAND_HZ,
    CHANNELS,
    CLASSES,
    HEALTHY,
    INNER_ORDER,
    MAINS_HZ,
    OUTER_ORDER,
    RATE_HZ,
    SAMPLES,
    SHAFT_HZ,
    Motor,
    State,
    draw,
)
from framegate_simulators.vibration.sensor import Sensor, as_series, golden, window

NAME, VERSION = "motor-faults", 1
HELD_OUT_MOTOR: Final = 10_000
"""Motors from this number on are never trained on."""
HIDDEN: Final = 24
STEPS: Final = 1500
RATE, DECAY = 3e-3, 1e-4
LEAST_SEVERITY: Final = 0.1
"""Of training and of figures: what is fainter lies below the motor's own floor."""
FAINT, CLEAR = 0.2, 0.4
"""Severities at which a fault begins to show, and from which on nobody overlooks it."""
MASKED_SHARE: Final = 0.3
"""Of training windows with one channel masked: the model must do without any one of them."""
FALSE_ALARMS: Final = 0.005
KNOWN_MOTOR: Final = 9_000
ORDERS: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
SHIPPED: Final = Path(__file__).with_name("bundle")
"""The bundle that this made, for the demonstration and for tests."""
GENERATOR: Final = ("machine_signal.py", "sensor.py")
Rows = NDArray[np.float32]


class Drawn(NamedTuple):
    """Windows as the network takes them, (n, values), their classes, and severities, (n,)."""

    rows: Rows
    classes: NDArray[np.int64]
    severities: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Network:
    """Two layers: values to hidden to classes."""

    first: NDArray[np.float64]
    first_bias: NDArray[np.float64]
    second: NDArray[np.float64]
    second_bias: NDArray[np.float64]

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """Probabilities, (n, classes)."""
        hidden = np.maximum(rows @ self.first + self.first_bias, 0)
        logits = hidden @ self.second + self.second_bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def series_input() -> dict[str, Any]:
    """The recipe's `input`: what of a window the network sees."""
    steps: list[dict[str, Any]] = [{"of": LEVEL}, {"of": KURTOSIS}]
    steps += [{"of": SPECTRUM, "order": order} for order in ORDERS]
    steps += [
        {"of": ENVELOPE, "order": round(times * order, 3)}
        for order in (OUTER_ORDER, INNER_ORDER)
        for times in (1, 2)
    ]
    return {
        "name": "row",
        "values": len(steps) * len(CHANNELS),
        "rate_hz": RATE_HZ,
        "samples": SAMPLES,
        "channels": [
            {"name": name, "unit": unit, "mains_hz": MAINS_HZ if unit == "A" else 0.0}
            for name, unit in CHANNELS
        ],
        "shaft_hz": list(SHAFT_HZ),
        "band_hz": list(BAND_HZ),
        "steps": steps,
    }


def drawn_rows(count: int, first_motor: int, seed: int, *, masked: float = MASKED_SHARE) -> Drawn:
    """`count` windows, each of a motor of its own, a fault by chance, against its own golden."""
    given = parse_input(series_input())
    rows, classes, severities = [], [], []
    for number in range(count):
        rng = np.random.default_rng([seed, first_motor + number])
        kind = int(rng.integers(len(CLASSES)))
        severity = float(rng.uniform(LEAST_SEVERITY, 1.0)) if kind else 0.0
        pair = _pair(first_motor + number, CLASSES[kind], severity, rng)
        hidden = rng.random() < masked
        out = frozenset({CHANNELS[int(rng.integers(len(CHANNELS)))][0]} if hidden else ())
        rows.append(row_of(given, pair.now, pair.before, out))
        classes.append(kind)
        severities.append(severity)
    return Drawn(np.stack(rows), np.array(classes, np.int64), np.array(severities))


class _Pair(NamedTuple):
    now: Series
    before: Series


def _pair(motor: int, fault: str, severity: float, rng: np.random.Generator) -> _Pair:
    speed = float(rng.uniform(SHAFT_HZ[0] * 1.1, SHAFT_HZ[1] * 0.95))
    body = Motor.drawn(motor)
    usual = float(rng.uniform(SHAFT_HZ[0] * 1.1, SHAFT_HZ[1] * 0.95))
    now = as_series(draw(body, State(speed, fault, severity), rng), speed, 10**7)
    return _Pair(now, as_series(draw(body, State(usual), rng), usual, 10**7))


def fit(drawn: Drawn, seed: int) -> Network:
    """By Adam, all windows at once, with decay; the same seed, the same weights."""
    rng = np.random.default_rng([0xF17, seed])
    values, classes = drawn.rows.shape[1], len(CLASSES)
    weights = [
        rng.normal(0, np.sqrt(2 / values), (values, HIDDEN)),
        np.zeros(HIDDEN),
        rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, classes)),
        np.zeros(classes),
    ]
    wanted = np.eye(classes)[drawn.classes]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    for step in range(1, STEPS + 1):
        hidden = np.maximum(drawn.rows @ weights[0] + weights[1], 0)
        off = (Network(*weights).scores(drawn.rows) - wanted) / len(wanted)
        back = (off @ weights[2].T) * (hidden > 0)
        slopes = [drawn.rows.T @ back, back.sum(0), hidden.T @ off, off.sum(0)]
        for number, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
            first, second = moments[number]
            first[...] = 0.9 * first + 0.1 * slope
            second[...] = 0.999 * second + 0.001 * slope**2
            ahead = first / (1 - 0.9**step), second / (1 - 0.999**step)
            weight -= RATE * (ahead[0] / (np.sqrt(ahead[1]) + 1e-8) + DECAY * weight)
    return Network(*weights)


def exported(network: Network) -> bytes:
    """As ONNX: Gemm, Relu, Gemm, Softmax."""
    tensors = {
        "first": network.first,
        "first_bias": network.first_bias,
        "second": network.second,
        "second_bias": network.second_bias,
    }
    values = network.first.shape[0]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["row", "first", "first_bias"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["raised"]),
            helper.make_node("Gemm", ["raised", "second", "second_bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        NAME,
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, values])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES)])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in tensors.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="framegate"
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def threshold_of(network: Network, calibration: Drawn) -> float:
    """From which score on, what the good class leaves, one sound window in two hundred is a
    defect.
    """
    sound = calibration.rows[calibration.classes == 0]
    scores = 1 - network.scores(sound)[:, 0]
    return round(float(np.clip(np.quantile(scores, 1 - FALSE_ALARMS), 0.2, 0.9)), 3)


def figures(network: Network, drawn: Drawn, threshold: float) -> dict[str, Any]:
    """Shares of windows of each class that are told right, on drawn windows."""
    scores = network.scores(drawn.rows)
    defect = 1 - scores[:, 0] >= threshold
    named = 1 + scores[:, 1:].argmax(axis=1)
    sound = drawn.classes == 0
    return {
        "windows": len(drawn.classes),
        "false_alarms": round(float(defect[sound].mean()), 4),
        "detected": round(float(defect[~sound].mean()), 4),
        "named_right": round(float((defect & (named == drawn.classes))[~sound].mean()), 4),
        "detected_by_severity": {
            f"{low:g} to {high:g}": round(float(defect[_between(drawn, low, high)].mean()), 4)
            for low, high in pairwise((LEAST_SEVERITY, FAINT, CLEAR, 1.0))
        },
        "by_class": {
            kind: {
                "windows": int((drawn.classes == k).sum()),
                "detected": round(float(defect[drawn.classes == k].mean()), 4),
                "named_right": round(float((named == k)[(drawn.classes == k) & defect].mean()), 4),
            }
            for k, kind in enumerate(CLASSES)
            if k
        },
    }


def _between(drawn: Drawn, low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((drawn.severities >= low) & (drawn.severities <= high), np.bool_)


def known_windows() -> Iterator[tuple[str, bytes]]:
    """Windows that every run of the model must answer as it did: (class, payload)."""
    for number, fault in enumerate([HEALTHY] * 4 + list(CLASSES[1:])):
        sensor = Sensor(KNOWN_MOTOR, fault=fault, severity=0.8)
        yield fault, marshal_series(window(sensor, number, 10**9 * (number + 1)))


def known_files(recipe: Recipe, network: Network) -> dict[str, bytes]:
    """Known answers and their windows, as a bundle has them."""
    given, base = parse_input(series_input()), golden(KNOWN_MOTOR)
    answers, files = [], {}
    for number, (fault, data) in enumerate(known_windows()):
        series = parse_series(data)
        row = row_of(given, series, parse_series(base), frozenset())
        score = 1 - float(network.scores(row[None])[0, 0])
        worst = int(np.abs(row.reshape(len(CHANNELS), -1)).sum(axis=1).argmax())
        box = [0.0, float(worst), float(SAMPLES), float(worst + 1)]
        defect = {"kind": fault, "score": round(score, 4), "box": box}
        defects = [] if fault == HEALTHY else [defect]
        if (score >= recipe.threshold) != bool(defects):
            raise SystemExit(f"known window {number} of {fault}: score {score:.3f}")
        name = f"{number:02d}"
        answers.append({"name": name, "defects": defects})
        files[f"known/{name}_test.bin"], files[f"known/{name}_temp.bin"] = data, base
    return files | {"known-answers.json": _json(answers)}


def bundled(out: Path, network: Network, threshold: float, card: Mapping[str, Any]) -> Bundle:
    """The bundle around trained weights."""
    model = exported(network)
    recipe = Recipe(
        NAME,
        VERSION,
        CLASSES,
        threshold,
        kind=Kind.CLASSIFICATION,
        good=(HEALTHY,),
        output=Output("scores", (Tensor("scores", (1, len(CLASSES))),), "none"),
        examined=SERIES,
        given=series_input(),
    )
    files = {
        "model.onnx": model,
        "recipe.json": _json(recipe_body(recipe, sha256(model).hex())),
        "card.json": _json(card),
        **known_files(recipe, network),
    }
    write_bundle(out, files)
    return load_bundle(out)


def train(out: Path, windows: int, seed: int) -> dict[str, Any]:
    """Draw, fit, choose the threshold, measure on motors that were kept aside, write."""
    network = fit(drawn_rows(windows, 0, seed), seed)
    threshold = threshold_of(network, drawn_rows(windows // 3, HELD_OUT_MOTOR // 2, seed))
    held_out = drawn_rows(windows // 2, HELD_OUT_MOTOR, seed, masked=0.0)
    masked = drawn_rows(windows // 2, 2 * HELD_OUT_MOTOR, seed, masked=1.0)
    generator = b"".join(Path(__file__).with_name(name).read_bytes() for name in GENERATOR)
    card = {
        "format": "framegate-card-1",
        "name": NAME,
        "version": VERSION,
        "windows": windows,
        "seed": seed,
        "trained_on": {
            "source": f"{windows} drawn windows of as many drawn motors; nothing measured",
            "sha256": hashlib.sha256(generator).hexdigest(),
            "signer": "",
            "approved_by": "",
            "files": [f"simulators/framegate_simulators/vibration/{name}" for name in GENERATOR],
        },
        "threshold": threshold,
        "held_out": figures(network, held_out, threshold),
        "held_out_one_channel_masked": figures(network, masked, threshold),
    }
    bundle = bundled(out, network, threshold, card)
    return {"digest": bundle.digest.hex(), **card}


def _json(body: Any) -> bytes:
    return json.dumps(body, indent=1).encode() + b"\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    said = train(args.out, args.windows, args.seed)
    print(json.dumps({k: v for k, v in said.items() if k != "trained_on"}, indent=1))


if __name__ == "__main__":
    main()
