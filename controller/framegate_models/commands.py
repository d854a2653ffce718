"""The commands model and data: what a bundle is, how well it does, how to train one, and who
vouches for the images.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from framegate.errors import Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.signed_folder import SIGNATURE, check_folder
from framegate_host import console
from framegate_host.console import OutputFormat, safe, service_exit_code, talk
from framegate_host.key_files import read_private_key, read_public_key
from framegate_models.manifest import sign_folder

models = typer.Typer(no_args_is_help=True, help="Model bundles: show, evaluate, train.")
data = typer.Typer(
    no_args_is_help=True, help="Folders of images: sign and verify who vouches for them."
)
BundleOption = Annotated[
    Path,
    typer.Option(
        "--bundle",
        help="Model bundle's folder; default: the shipped one, which is also called default.",
    ),
]
Output = OutputFormat
Threads = Annotated[int, typer.Option("--threads", min=1, max=64, help="Threads of the model.")]


def errors() -> contextlib.AbstractContextManager[None]:
    """Errors as sentences on standard error and as exit codes."""
    return console.errors(service_exit_code())


@models.command("show")
def show(bundle: BundleOption = DEFAULT_BUNDLE, output: Output = "table") -> None:
    """Show what a bundle is: digest, classes, threshold, known answers, signature, what it was
    trained on.
    """
    with errors():
        loaded = load_bundle(_bundle(bundle))
        r = loaded.recipe
        body = {
            "name": r.name,
            "version": r.version,
            "digest": loaded.digest.hex(),
            "kind": r.kind.value,
            "classes": list(r.classes),
            "threshold": r.threshold,
            "calibration": list(r.calibration),
            "multiple_px": r.multiple_px,
            "model_bytes": len(loaded.model),
            "known_answers": len(loaded.known),
            "signed": bool(loaded.signature),
            "card": json.loads(loaded.training) if loaded.training else {},
        }
        if output == "json":
            print(json.dumps(body, indent=1))
            return
        held_out = body["card"].get("held_out", {})
        for name, value in (
            *((k, v) for k, v in body.items() if k != "card"),
            ("trained on", body["card"].get("trained_on", {}).get("source", "not said")),
        ):
            print(
                f"{name.replace('_', ' '):14}"
                f" {', '.join(map(str, value)) if isinstance(value, list) else value}"
            )
        if held_out:
            print(
                f"{'figures':14} mAP {100 * held_out['map']:.1f} %, F {100 * held_out['f']:.1f} %"
                f" on {held_out['images']} held-out images"
            )


@models.command("evaluate")
def evaluate(
    data_folder: Annotated[Path, typer.Option("--data", help="Folder in DeepPCB's format.")],
    bundle: BundleOption = DEFAULT_BUNDLE,
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
        Literal["as-taken", "turned", "blurred", "uneven"],
        typer.Option(
            "--condition",
            help=(
                "Measure as if each frame were turned by half a degree, blurred by 2 pixels, or lit"
                " from one side (half as bright on the other): turned, blurred, uneven."
            ),
        ),
    ] = "as-taken",
    output: Output = "table",
) -> None:
    """Measure a bundle on labelled pairs: mAP and F by DeepPCB's protocol, average precision per
    class, milliseconds per frame.
    """
    # OpenCV and the runtime take a quarter of a second, and only measuring has use for them
    from framegate_models.conditions import Condition, under  # noqa: PLC0415 - start-up
    from framegate_models.dataset import read_pair, read_split  # noqa: PLC0415 - start-up
    from framegate_models.evaluate import inspector_of, measure  # noqa: PLC0415 - start-up
    from framegate_models.report import worst_misses, write_report  # noqa: PLC0415 - start-up

    with errors():
        as_json = output == "json"
        taken = Condition(condition)
        loaded = load_bundle(_bundle(bundle))
        listed = read_split(data_folder, _split(data_folder, split))
        if not listed:
            raise Refused.of(
                Reason.DATA_SET,
                "pairs to measure on",
                f"none in {split or data_folder}",
                "X_test.jpg, X_temp.jpg and X.txt each",
            )
        with _progress() as said:
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
                    one.name: under(taken, read_pair(one, loaded.recipe.classes))
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
        print(json.dumps(body, indent=1)) if as_json else _show_score(body)


@models.command("train")
def train(  # noqa: PLR0913 - a command's options
    data_folder: Annotated[Path, typer.Option("--data", help="Folder in DeepPCB's format.")],
    out: Annotated[Path, typer.Option(help="New folder for the bundle; the report is OUT.report.")],
    init: Annotated[
        str, typer.Option(help="Weights to start from: default, none, or a bundle's folder.")
    ] = "default",
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Minutes of training, by the clock.")
    ] = 28.0,
    split: Annotated[
        Path | None,
        typer.Option(help="File that lists the pairs; default: the folder's trainval.txt, or all."),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            help=(
                "Class names in order, separated by commas; default: those of the bundle started"
                " from."
            )
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="The bundle's name; default: the folder's.")] = "",
    version: Annotated[int, typer.Option(min=1)] = 1,
    data_key: Annotated[
        list[Path] | None,
        typer.Option(help="Public key (PEM) that must have signed the data; may be repeated."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu or cuda; default: the faster one there is.")
    ] = "",
    threads: Threads = 2,
    seed: int = 7,
) -> None:
    """Train on your own parts; writes an unsigned bundle and a report. Needs PyTorch. A data set
    whose signed manifest does not match is refused.
    """
    from framegate_models.train import (  # noqa: PLC0415 - start-up, as in `evaluate`
        Plan,
        require_torch,
        train_bundle,
    )

    with errors():
        require_torch()
        begin = None if init == "none" else load_bundle(_bundle(Path(init)))
        named = tuple(c.strip() for c in classes.split(",") if c.strip()) or (
            begin.recipe.classes if begin else load_bundle(DEFAULT_BUNDLE).recipe.classes
        )
        provenance = check_folder(data_folder, [read_public_key(path) for path in data_key or []])
        if not provenance.signer or provenance.signer == "unverified":
            why = (
                "its signature was not checked: --data-key KEY"
                if provenance.signer
                else "it is not signed"
            )
            talk.print(f"[yellow]nobody vouches for this data[/] ({why}); the card will say so")
        plan = Plan(name or _slug(out.name), version, named, minutes, begin, device, threads, seed)
        with _progress() as said:
            bundle, measured = train_bundle(
                data_folder, _split(data_folder, split), out, plan, provenance, said
            )
        _show_score(measured.as_dict())
        talk.print(
            f"bundle {out}, digest {bundle.digest.hex()[:16]}, unsigned: framegate model sign {out}"
            " --key KEY"
        )
        talk.print(
            f"report {out}.report/report.md: look at its pictures before you approve anything"
        )


@data.command("sign")
def data_sign(
    folder: Path,
    key: Annotated[Path, typer.Option(help="Private key (PEM), of whoever vouches.")],
    source: Annotated[str, typer.Option(help="Where the images are from.")],
    approved_by: Annotated[str, typer.Option(help="Who approved them.")],
) -> None:
    """Sign a folder of images: every file with its digest, where they are from, who approved
    them.
    """
    with errors():
        provenance = sign_folder(_folder(folder), read_private_key(key), source, approved_by)
        print(
            f"{provenance.files} files, digest {provenance.sha256}, signed by {provenance.signer}:"
            f" {folder / SIGNATURE}"
        )


@data.command("verify")
def data_verify(
    folder: Path,
    key: Annotated[
        list[Path], typer.Option(help="Public key (PEM) that must have signed; may be repeated.")
    ],
    output: Output = "table",
) -> None:
    """Check that a folder is what somebody you trust has signed."""
    with errors():
        as_json = output == "json"
        provenance = check_folder(_folder(folder), [read_public_key(path) for path in key])
        print(
            json.dumps(asdict(provenance))
            if as_json
            else (
                f"{provenance.files} files as signed by {provenance.signer}: {provenance.source},"
                f" approved by {provenance.approved_by}; digest {provenance.sha256}"
            )
        )


def _show_score(body: dict[str, Any]) -> None:
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
        table.add_row(f"AP {kind}", f"{100 * value:.2f} %")
    for stage, ms in body.get("ms_per_frame", {}).items():
        table.add_row(f"{stage}, median and p99", f"{ms:.1f}, {body['ms_p99'][stage]:.1f} ms")
    if body["good_images"]:
        table.add_row(
            "good images flagged", f"{body['good_images_flagged']} of {body['good_images']}"
        )
    table.add_row("bad images missed", f"{body['bad_images_missed']} of {body['bad_images']}")
    table.add_row(
        "the quality gate would refuse",
        ", ".join(f"{v} {k}" for k, v in body["would_be_refused"].items()) or "none",
    )
    Console(highlight=False).print(table)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, float, str], None]]:
    if not talk.is_terminal:  # into a file: a line for each tenth of a stage
        tenths: dict[str, int] = {}

        def noted(stage: str, share: float, detail: str) -> None:
            if tenths.get(stage, -1) < int(10 * share):
                tenths[stage] = int(10 * share)
                talk.print(f"{stage} {100 * share:3.0f} %  {safe(detail)}")

        yield noted
        return
    columns = (
        TextColumn("{task.description:16}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as bar:
        tasks: dict[str, Any] = {}

        def said(stage: str, share: float, detail: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0, detail="")
            bar.update(tasks[stage], completed=share, detail=safe(detail))

        yield said


def _bundle(named: Path) -> Path:
    return DEFAULT_BUNDLE if named == Path("default") and not named.exists() else named


def _split(folder: Path, split: Path | None) -> Path | None:
    """The split file as given, or of that name in the folder."""
    return (
        split
        if split is None or split.exists() or not (folder / split).exists()
        else folder / split
    )


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise Unavailable.of(Reason.DATA_SET, "a folder", f"none at {folder}")
    return folder


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:60] or "model"
