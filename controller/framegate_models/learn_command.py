"""The command learn: a bundle from pictures of sound parts alone."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.bundle import write_bundle
from framegate_gateway.inference.signed_folder import check_folder
from framegate_host.console import talk
from framegate_host.key_files import read_public_key
from framegate_host.printing import show_line
from framegate_models.options import Threads, errors, picture_size
from framegate_models.picture_files import require_folder
from framegate_models.progress import progress


def learn(  # noqa: PLR0913 - a command's options
    good: Annotated[Path, typer.Option("--good", help="Folder of pictures of sound parts, 20 up.")],
    out: Annotated[
        Path, typer.Option(help="New folder for the bundle; pictures go to OUT.pictures.")
    ],
    false_alarms: Annotated[
        float,
        typer.Option(
            "--false-alarms", min=0.0005, max=0.2, help="Share of sound parts that may be DEFECT."
        ),
    ] = 0.01,
    keep_back: Annotated[
        float,
        typer.Option(
            "--keep-back", min=0.0, max=0.5, help="Share of parts to measure that promise on."
        ),
    ] = 0.2,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Minutes that pictures are looked at, at most.")
    ] = 10.0,
    part: Annotated[
        str,
        typer.Option(
            "--part", help="Pattern with one group, the part that a file's name shows: num_([0-9]+)"
        ),
    ] = "",
    size: Annotated[
        str, typer.Option(help="WxH that frames are brought to; default: by the pictures.")
    ] = "",
    name: Annotated[str, typer.Option(help="The bundle's name; default: the folder's.")] = "",
    version: Annotated[int, typer.Option(min=1)] = 1,
    data_key: Annotated[
        list[Path] | None,
        typer.Option(help="Public key (PEM) that must have signed the folder; may be repeated."),
    ] = None,
    threads: Threads = 2,
    seed: int = 7,
) -> None:
    """Learn a part from pictures of sound ones alone: writes an unsigned bundle whose network says
    where a frame looks like none of them. Look at its pictures before you sign.
    """
    # OpenCV and the runtime take a quarter of a second, and other commands have no use for them
    from framegate_models.importing import known_count  # noqa: PLC0415 - start-up
    from framegate_models.learn import Plan, learn_part  # noqa: PLC0415 - start-up
    from framegate_models.recipe_words import words_of  # noqa: PLC0415 - start-up
    from framegate_models.result_pictures import write_results  # noqa: PLC0415 - start-up

    with errors():
        if out.exists() and any(out.iterdir()):
            hint = "choose another name; nothing is overwritten"
            raise Unavailable.of(Reason.MODEL, f"an empty folder {out}", "one with files", hint)
        require_folder(good)
        provenance = check_folder(good, [read_public_key(path) for path in data_key or []])
        if not provenance.signer or provenance.signer == "unverified":
            talk.print("[yellow]nobody vouches for these pictures[/]; the card will say so")
        slug = re.sub(r"[^a-z0-9.-]+", "-", (name or out.name).lower()).strip("-.")[:60]
        plan = Plan(
            slug or "part",
            version,
            picture_size(size),
            false_alarms,
            keep_back,
            part,
            minutes,
            threads,
            seed,
        )
        begun = time.monotonic()
        with progress() as said:
            learned = learn_part(good, plan, provenance, said)
        bundle, figures = learned.bundle, learned.figures
        write_bundle(out, bundle.files)
        height, width = learned.results[0].shown.picture.shape[:2]
        for line in (*learned.decided, *words_of(bundle.recipe, (width, height))):
            show_line(f"- {line}")
        if learned.stand_out:
            names = ", ".join(learned.stand_out)
            show_line(f"stand out among the sound ones, look whether they are: {names}")
        show_line(
            f"drawn damage: {figures.bad_flagged} of {figures.bad} pictures with it are DEFECT,"
            f" {figures.good_passed} of the same {figures.good} without it PASS"
        )
        show_line(f"false alarms promised: {100 * false_alarms:g} %")
        if learned.false_alarms.of:
            show_line(f"false alarms among parts that were kept back: {learned.false_alarms}")
        show_line(f"known answers: {known_count(bundle.known)}")
        show_line(f"learned in {time.monotonic() - begun:.0f} s")
        paths = write_results(
            out.with_name(out.name + ".pictures"), learned.inspector, learned.results
        )
        show_line(f"pictures: {', '.join(map(str, paths))}")
        show_line(
            f"bundle {out}, digest {bundle.digest.hex()[:16]}, unsigned: look at the pictures, then"
            f" framegate model sign {shlex.quote(str(out))} --key KEY"
        )
