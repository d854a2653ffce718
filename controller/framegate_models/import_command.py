"""The command import: a network that another tool exported becomes a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bundle import write_bundle
from framegate_gateway.inference.layouts import Kind
from framegate_host import console
from framegate_host.console import safe, service_exit_code, talk, typed
from framegate_host.printing import show_line
from framegate_models.options import picture_size


def import_network(  # noqa: PLR0913 - a command's options
    file: Annotated[Path, typer.Argument(help="The ONNX file; weights beside it come along.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="What it does: detection, classification, segmentation, anomaly."
        ),
    ],
    good: Annotated[
        Path, typer.Option("--good", help="Folder of pictures of good parts, 8 at least.")
    ],
    bad: Annotated[
        Path, typer.Option("--bad", help="Folder of pictures with defects, 8 at least.")
    ],
    out: Annotated[
        Path, typer.Option(help="New folder for the bundle; pictures go to OUT.pictures.")
    ],
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A class of the network, in its order; may be repeated."),
    ] = None,
    no_defect: Annotated[
        list[str] | None,
        typer.Option("--no-defect", help="One of these classes is no defect; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="The bundle's name; default: the folder's.")] = "",
    version: Annotated[int, typer.Option(min=1)] = 1,
    layout: Annotated[
        str, typer.Option(help="How its outputs are laid out, where several fit.")
    ] = "",
    size: Annotated[
        str, typer.Option(help="WxH that frames are brought to, where the network takes any.")
    ] = "",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.02, max=0.98, help="From where on a score is a defect; default: by the pictures."
        ),
    ] = None,
    told: Annotated[
        list[str] | None,
        typer.Option("--set", help="MEMBER=VALUE of the recipe, for instance input.fit=letterbox."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64)] = 2,
) -> None:
    """Make a bundle of a network that another tool exported, and show what it says to pictures of
    good and bad parts before anybody signs.
    """
    # OpenCV and the runtime take a quarter of a second, and other commands have no use for them
    from framegate_models.importing import import_model, known_count  # noqa: PLC0415 - start-up
    from framegate_models.proposal import Wish, parse_members  # noqa: PLC0415 - start-up
    from framegate_models.recipe_words import words_of  # noqa: PLC0415 - start-up
    from framegate_models.result_pictures import write_results  # noqa: PLC0415 - start-up

    with console.errors(service_exit_code()):
        which = _kind(kind)
        named = tuple(classes or ()) or (("anomaly",) if which == Kind.ANOMALY else ())
        if not named:
            hint = "--class NAME for each"
            raise Malformed.of(Reason.USAGE, "the network's classes, in its order", "none", hint)
        wish = Wish(
            which,
            named,
            tuple(no_defect or ()),
            name or re.sub(r"[^a-z0-9.-]+", "-", out.name.lower()).strip("-.")[:60] or "imported",
            version,
            layout,
            picture_size(size),
            threshold,
            parse_members(told or ()),
        )
        if out.exists() and any(out.iterdir()):
            hint = "choose another name; nothing is overwritten"
            raise Unavailable.of(Reason.MODEL, f"an empty folder {out}", "one with files", hint)
        imported = import_model(file, wish, good, bad, threads)
        bundle, figures = imported.bundle, imported.figures
        write_bundle(out, bundle.files)
        height, width = imported.results[0].shown.picture.shape[:2]
        for line in (*imported.decided, *words_of(bundle.recipe, (width, height))):
            show_line(f"- {line}")
        show_line(
            f"{figures.bad_flagged} of {figures.bad} bad pictures are DEFECT,"
            f" {figures.good_passed} of {figures.good} good ones PASS; of the {figures.unseen} that"
            f" are no known answers {figures.unseen_right} are right."
        )
        show_line(f"known answers: {known_count(bundle.known)}")
        paths = write_results(
            out.with_name(out.name + ".pictures"), imported.inspector, imported.results
        )
        show_line(f"pictures: {', '.join(map(str, paths))}")
        talk.print(
            f"bundle {safe(out)}, digest {bundle.digest.hex()[:16]}, unsigned: look at the"
            f" pictures, then framegate model sign {typed(out)} --key KEY"
        )


def _kind(said: str) -> Kind:
    kinds = [kind.value for kind in Kind if kind != Kind.PAIR]
    if said not in kinds:
        hint = "pairs are trained here: framegate-models model train"
        if said != "pair":
            hint = "name the one that it does; framegate-models import --help"
        raise Malformed.of(Reason.USAGE, f"--kind {', '.join(kinds)}", ascii(said)[:40], hint)
    return Kind(said)
