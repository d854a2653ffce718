"""The commands model and data: what a bundle is, how well it does, how to train one, and who
vouches for the images.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.signed_folder import SIGNATURE, check_folder
from framegate_host.console import safe, talk, typed
from framegate_host.key_files import read_private_key, read_public_key
from framegate_host.printing import show_line, show_text
from framegate_models.evaluate_command import evaluate, show_score
from framegate_models.manifest import sign_folder
from framegate_models.options import (
    BundleOption,
    Output,
    Threads,
    bundle_folder,
    errors,
    split_file,
)
from framegate_models.progress import progress

models = typer.Typer(no_args_is_help=True, help="Model bundles: show, evaluate, train.")
data = typer.Typer(
    no_args_is_help=True, help="Folders of images: sign and verify who vouches for them."
)


@models.command("show")
def show(bundle: BundleOption = DEFAULT_BUNDLE, output: Output = "table") -> None:
    """Show what a bundle is: digest, classes, threshold, known answers, signature, what it was
    trained on.
    """
    with errors():
        loaded = load_bundle(bundle_folder(bundle))
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
            show_text(json.dumps(body, indent=1))
            return
        held_out = body["card"].get("held_out", {})
        for name, value in (
            *((k, v) for k, v in body.items() if k != "card"),
            ("trained on", body["card"].get("trained_on", {}).get("source", "not said")),
        ):
            show_line(
                f"{name.replace('_', ' '):14}"
                f" {', '.join(map(str, value)) if isinstance(value, list) else value}"
            )
        if held_out:
            show_line(
                f"{'figures':14} mAP {100 * held_out['map']:.1f} %, F {100 * held_out['f']:.1f} %"
                f" on {held_out['images']} held-out images"
            )


models.command("evaluate")(evaluate)


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
        begin = None if init == "none" else load_bundle(bundle_folder(Path(init)))
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
        with progress() as said:
            bundle, measured = train_bundle(
                data_folder, split_file(data_folder, split), out, plan, provenance, said
            )
        show_score(measured.as_dict())
        talk.print(
            f"bundle {safe(out)}, digest {bundle.digest.hex()[:16]}, unsigned: "
            f"framegate model sign {typed(out)} --key KEY"
        )
        talk.print(
            f"report {safe(out)}.report/report.md: look at its pictures before you approve anything"
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
        show_line(
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
        show_line(
            json.dumps(asdict(provenance))
            if as_json
            else (
                f"{provenance.files} files as signed by {provenance.signer}: {provenance.source},"
                f" approved by {provenance.approved_by}; digest {provenance.sha256}"
            )
        )


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise Unavailable.of(Reason.DATA_SET, "a folder", f"none at {folder}")
    return folder


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:60] or "model"
