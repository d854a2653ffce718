"""Fine-tune on a folder of labelled pairs: check the data, fit, calibrate, measure on what was
held out, write bundle and report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from framegate.errors import Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import Bundle, write_bundle
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.session import new_session, runner
from framegate_gateway.inference.signed_folder import Provenance
from framegate_models.assemble import bundle_files, calibrated, known_answers, leaner
from framegate_models.dataset import Listed, read_pairs, read_split
from framegate_models.evaluate import Measured, measure
from framegate_models.report import write_report
from framegate_models.sampling import CROP_PX, LabelledPair
from framegate_models.screening import label_outliers, near_duplicates

HELD_OUT_EVERY: Final = 8
"""One pair of eight, in order of name, is never trained on: threshold, calibration and the
report come from those.
"""
MIN_PAIRS: Final = 24
"""Fewer pairs cannot be divided into some to learn from and some to be judged by."""
MULTIPLE_PX: Final = 32
FRESH_RATE: Final = 3e-3
TUNING_RATE: Final = 2e-3


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train: name and version of the bundle, its classes, minutes of wall time, weights
    to start from (none: afresh), device ("cpu", "cuda"), threads.
    """

    name: str
    version: int
    classes: tuple[str, ...]
    minutes: float
    init: Bundle | None
    device: str = ""
    threads: int = 2
    seed: int = 7


def require_torch() -> None:
    """Raises Unavailable where PyTorch is not installed: training is the one thing that needs
    it.
    """
    try:
        import torch  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE,
            "PyTorch, which training needs",
            "none installed",
            "pip install torch, into this environment",
        ) from error


Said: TypeAlias = Callable[[str, float, str], None]
"""Is told how far a training is: (stage, share done, detail)."""


@dataclass(frozen=True, slots=True)
class _Divided:
    """Labelled pairs in order of name, divided into those to learn from and those to be judged
    by.
    """

    ordered: tuple[LabelledPair, ...]
    training: tuple[LabelledPair, ...]
    held_out: tuple[LabelledPair, ...]


def train_bundle(
    folder: Path,
    split: Path | None,
    out: Path,
    plan: Plan,
    provenance: Provenance,
    said: Said = lambda _stage, _share, _detail: None,
) -> tuple[Bundle, Measured]:
    """The bundle written to `out`, its report to `out`.report, and its figures on held-out pairs.

    Raises Malformed, Refused or Unavailable (DATA_SET, KNOWN_ANSWER) before anything is written.
    """
    require_torch()
    if out.exists() and any(out.iterdir()):
        hint = "choose another name; nothing is overwritten"
        wanted = f"an empty folder {out}"
        raise Unavailable.of(Reason.MODEL, wanted, "one with files in it", hint)
    pairs = _divided(read_split(folder, split), plan.classes, said)
    said("near duplicates", 0.0, "")
    twins = near_duplicates(pairs.ordered)
    weights = _fitted(pairs.training, plan, said)
    said("quantisation", 0.0, "")
    network, spent = leaner(weights, pairs.training, pairs.held_out, plan.classes, plan.threads)
    said("calibration", 0.0, "")
    recipe = calibrated(
        network,
        plan.name,
        plan.version,
        plan.classes,
        MULTIPLE_PX,
        pairs.held_out,
        plan.threads,
    )
    known = known_answers(network, recipe, pairs.ordered, threads=plan.threads)
    inspector = Inspector(recipe, runner(new_session(network, plan.threads)))
    measured = _measured(inspector, pairs.held_out, "held-out pairs", said)
    disputed = label_outliers(_measured(inspector, pairs.training, "labels", said))
    card = {**_card(plan, recipe, provenance, pairs.training, measured), "quantisation": spent}
    bundle = write_bundle(out, bundle_files(network, recipe, known, card, weights))
    kept = {p.name: p for p in pairs.held_out}
    extra = {
        "near_duplicates": [
            {
                "pairs": [t.first, t.second],
                "likeness": t.likeness,
                "across_split": (t.first in kept) != (t.second in kept),
            }
            for t in twins
        ],
        "label_outliers": disputed,
        "bundle_sha256": bundle.digest.hex(),
        "data": asdict(provenance),
    }
    write_report(out.with_name(out.name + ".report"), measured, kept, extra)
    return bundle, measured


def _divided(listed: Sequence[Listed], classes: tuple[str, ...], said: Said) -> _Divided:
    """Raises Refused (DATA_SET) where there are too few pairs, or too small ones."""
    if len(listed) < MIN_PAIRS:
        wanted = f"at least {MIN_PAIRS} labelled pairs"
        hint = "a model cannot be judged on fewer"
        raise Refused.of(Reason.DATA_SET, wanted, len(listed), hint)
    pairs = _read(listed, classes, said)
    small = next((p for p in pairs if min(p.frame.shape) < CROP_PX), None)
    if small is not None:
        height, width = small.frame.shape
        wanted = f"images of at least {CROP_PX} pixels a side"
        raise Refused.of(Reason.DATA_SET, wanted, f"{small.name}: {width}x{height}")
    ordered = sorted(pairs, key=lambda p: p.name)
    held_out = ordered[::HELD_OUT_EVERY]
    names = {p.name for p in held_out}
    training = tuple(p for p in ordered if p.name not in names)
    return _Divided(tuple(ordered), training, tuple(held_out))


def _measured(
    inspector: Inspector, pairs: Sequence[LabelledPair], stage: str, said: Said
) -> Measured:
    return measure(inspector, pairs, said=lambda done, of: said(stage, done / of, ""))


def _read(listed: Sequence[Listed], classes: tuple[str, ...], said: Said) -> list[LabelledPair]:
    pairs = []
    for number, pair in enumerate(read_pairs(listed, classes), start=1):
        pairs.append(pair)
        said("reading", number / len(listed), pair.name)
    return pairs


def _fitted(pairs: Sequence[LabelledPair], plan: Plan, said: Said) -> bytes:
    # PyTorch is everybody's own to install: `require_torch` has said so before
    import torch  # noqa: PLC0415 - optional

    from framegate_models.fit import Schedule, best_device, fit  # noqa: PLC0415 - needs PyTorch
    from framegate_models.network import (  # noqa: PLC0415 - needs PyTorch
        Detector,
        export,
        load_weights,
    )

    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    model, rate = Detector(len(plan.classes)), FRESH_RATE
    if plan.init is not None and load_weights(model, plan.init.weights):
        rate = TUNING_RATE
    device = plan.device or best_device()
    fitted = fit(
        model,
        pairs,
        plan.classes,
        Schedule(minutes=plan.minutes, seed=plan.seed, rate=rate, device=device),
        lambda p: said("training", p.passed / p.minutes, f"step {p.step}, loss {p.loss:.3f}"),
    )
    return export(fitted)


def _card(
    plan: Plan,
    recipe: Recipe,
    data: Provenance,
    training: Sequence[LabelledPair],
    measured: Measured,
) -> dict[str, Any]:
    figures = {k: v for k, v in measured.as_dict().items() if k not in {"ms_per_frame", "ms_p99"}}
    return {
        "format": "framegate-card-1",
        "name": recipe.name,
        "version": recipe.version,
        "trained_on": asdict(data),
        "pairs": len(training),
        "minutes": plan.minutes,
        "seed": plan.seed,
        "began_from": plan.init.digest.hex() if plan.init is not None else "",
        "held_out": figures,
    }
