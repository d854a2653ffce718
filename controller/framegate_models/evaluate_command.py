"""The command evaluate: how well a bundle does, on labelled pairs or on folders of pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.table import Table

from framegate.errors import Malformed, Reason, Refused
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from framegate_host.console import Terminal, safe
from framegate_host.printing import show_text
from framegate_models.options import (
    BundleOption,
    Output,
    Threads,
    bundle_folder,
    errors,
    split_file,
)
from framegate_models.progress import progress

if TYPE_CHECKING:
    from framegate_models.evaluate_pictures import PicturesMeasured


class _Folders(NamedTuple):
    good: Path
    bad: tuple[Path, ...]


def evaluate(  # noqa: PLR0913 - a command's options
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="For pairs: a folder in DeepPCB's format.")
    ] = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    good: Annotated[
        Path | None,
        typer.Option("--good", help="For anomaly models: sound parts; learned ones do not count."),
    ] = None,
    bad: Annotated[
        list[Path] | None,
        typer.Option("--bad", help="A kind of defect, masks X.png beside X.jpg; may be repeated."),
    ] = None,
    false_alarms: Annotated[
        float,
        typer.Option("--false-alarms", min=0.0, max=0.5, help="Rate that recall is told at."),
    ] = 0.01,
    split: Annotated[
        Path | None,
        typer.Option(
            "--split",
            help=(
                "File that lists IMAGE.jpg ANNOTATION.txt a line; default: the folder's"
                " trainval.txt, or all."
            ),
        ),
    ] = None,
    threads: Threads = 2,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Folder for pictures of the curve, the confusions and the worst misses.",
        ),
    ] = None,
    condition: Annotated[
        Literal["as-taken", "turned", "blurred", "uneven", "inverted"],
        typer.Option(
            "--condition",
            help=(
                "Measure as if each frame were turned by half a degree, blurred by 2 pixels, or lit"
                " from one side (half as bright on the other): turned, blurred, uneven; or dark and"
                " bright exchanged in both: inverted."
            ),
        ),
    ] = "as-taken",
    output: Output = "table",
) -> None:
    """Measure a bundle. On labelled pairs: mAP and F by DeepPCB's protocol, average precision per
    class. On folders of sound and of bad parts: areas under ROC curves, recall, false alarms beside
    those that were promised. Milliseconds per frame.
    """
    # OpenCV and the runtime take a quarter of a second, and only measuring has use for them
    from framegate_models.conditions import Condition, under  # noqa: PLC0415 - start-up
    from framegate_models.dataset import read_pair, read_split  # noqa: PLC0415 - start-up
    from framegate_models.evaluate import inspector_of, measure  # noqa: PLC0415 - start-up
    from framegate_models.report import worst_misses, write_report  # noqa: PLC0415 - start-up

    with errors():
        as_json, taken = output == "json", Condition(condition)
        loaded = load_bundle(bundle_folder(bundle))
        if good is not None:
            _on_pictures(loaded, _Folders(good, tuple(bad or ())), false_alarms, threads, output)
            return
        if data_folder is None:
            raise Malformed.of(
                Reason.USAGE,
                "--data DIR for pairs, --good DIR --bad DIR for an anomaly model",
                "neither",
                "framegate-models evaluate --help",
            )
        listed = read_split(data_folder, split_file(data_folder, split))
        if not listed:
            raise Refused.of(
                Reason.DATA_SET,
                "pairs to measure on",
                f"none in {split or data_folder}",
                "X_test.jpg, X_temp.jpg and X.txt each",
            )
        with progress() as said:
            measured = measure(
                inspector_of(loaded, threads),
                listed,
                condition=taken,
                said=lambda done, of: said("inspecting", done / of, ""),
            )
        if report is not None:
            wanted = {miss.pair for miss in worst_misses(measured)}
            write_report(
                report,
                measured,
                {
                    one.name: under(
                        taken, read_pair(one, loaded.recipe.classes), loaded.recipe.classes
                    )
                    for one in listed
                    if one.name in wanted
                },
                {"bundle_sha256": loaded.digest.hex()},
            )
        body = {
            "bundle": loaded.name,
            "bundle_sha256": loaded.digest.hex(),
            "threads": threads,
            "condition": taken.value,
            **measured.as_dict(),
        }
        show_text(json.dumps(body, indent=1)) if as_json else show_score(body)


def _on_pictures(bundle: Bundle, folders: _Folders, rate: float, threads: int, output: str) -> None:
    from framegate_models.evaluate_pictures import measure_pictures  # noqa: PLC0415 - start-up

    with progress() as said:
        measured = measure_pictures(
            bundle,
            folders.good,
            folders.bad,
            rate,
            threads,
            lambda done, of: said("inspecting", done / of, ""),
        )
    if output == "json":
        body = {"bundle": bundle.name, "bundle_sha256": bundle.digest.hex(), "threads": threads}
        show_text(json.dumps(body | measured.as_dict(), indent=1))
        return
    show_pictures(measured)


def show_pictures(measured: PicturesMeasured) -> None:
    """Print the figures of sound and bad parts."""
    figures = measured.accuracy
    title = f"{figures.good.of} sound and {figures.bad.of} bad parts"
    if measured.learned:
        title += f"; {measured.learned} that it has learned from left out"
    table = Table("figure", "value", title=title)
    table.add_row("area under ROC, pictures", _percent(figures.image_auroc))
    table.add_row("area under ROC, pixels", _percent(figures.pixel_auroc))
    table.add_row("false alarms at its threshold", str(figures.good))
    if measured.promised is not None:
        table.add_row("false alarms that it promises", f"{100 * measured.promised:g} %")
    if figures.bad.of:
        table.add_row("bad parts that are DEFECT", str(figures.bad))
    table.add_row(f"recall at {100 * figures.rate:g} % false alarms", _percent(figures.recall))
    for name, one in figures.classes.items():
        table.add_row(
            f"{safe(name)}, {one.pictures}",
            f"area {_percent(one.auroc)}, recall {_percent(one.recall)}; {one.flagged} are DEFECT",
        )
    ms = measured.ms
    table.add_row("a frame, median and p99", f"{ms.median:.1f}, {ms.p99:.1f} ms")
    table.add_row("processor time of a frame", f"{ms.processor:.1f} ms")
    Terminal(highlight=False).print(table)


def _percent(share: float) -> str:
    return "none to tell by" if math.isnan(share) else f"{100 * share:.2f} %"


def show_score(body: dict[str, Any]) -> None:
    """Print the figures of labelled pairs."""
    table = Table(
        "figure",
        "value",
        title=(
            f"{body['images']} images, {body['defects']} defects, threshold {body['threshold']:.2f}"
        ),
    )
    table.add_row("mAP (DeepPCB's protocol)", f"{100 * body['map']:.2f} %")
    table.add_row(
        "F, precision, recall",
        f"{100 * body['f']:.2f}, {100 * body['precision']:.2f}, {100 * body['recall']:.2f} %",
    )
    table.add_row(
        "class-aware mAP, IoU 0.33 and 0.50",
        f"{100 * body['class_map_iou33']:.2f}, {100 * body['class_map_iou50']:.2f} %",
    )
    for kind, value in body["class_ap_iou33"].items():
        table.add_row(f"AP {safe(kind)}", f"{100 * value:.2f} %")
    for stage, ms in body.get("ms_per_frame", {}).items():
        table.add_row(f"{safe(stage)}, median and p99", f"{ms:.1f}, {body['ms_p99'][stage]:.1f} ms")
    if body["good_images"]:
        table.add_row(
            "good images flagged", f"{body['good_images_flagged']} of {body['good_images']}"
        )
    table.add_row("bad images missed", f"{body['bad_images_missed']} of {body['bad_images']}")
    table.add_row(
        "the quality gate would refuse",
        ", ".join(f"{v} {safe(k)}" for k, v in body["would_be_refused"].items()) or "none",
    )
    Terminal(highlight=False).print(table)
