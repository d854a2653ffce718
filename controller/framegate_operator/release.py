"""framegate release: is a package what the project built? Asked before it is installed, offline."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from framegate.signed.release import MAX_BUNDLE_BYTES, SIGNED_NAME, Taken, verify_release
from framegate_host.console import safe, show_json, talk
from framegate_host.key_files import read_public_key
from framegate_operator.options import Output
from framegate_operator.output import errors

app = typer.Typer(no_args_is_help=True, help="Releases of Framegate itself.")


@app.callback()
def _root() -> None:
    """Releases of Framegate itself."""


@app.command("verify")
def verify(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Packages, wheels, images.")
    ],
    key: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The project's public key (PEM)."),
    ],
    signature: Annotated[
        Path | None,
        typer.Option(help=f"The release's signature; default: {SIGNED_NAME} beside the first."),
    ] = None,
    output: Output = "table",
) -> None:
    """That these files are of one release that the project signed: their bytes, the commit and
    the requirements they were built from. Asks nobody.
    """
    with errors():
        bundle = signature or files[0].parent / SIGNED_NAME
        with bundle.open("rb") as source:
            signed = source.read(MAX_BUNDLE_BYTES + 1)
        # by path: two files of one name in two folders are two files
        digests = {file: _sha256(file) for file in files}
        taken = [Taken(file.name, digest) for file, digest in digests.items()]
        release = verify_release(signed, taken, read_public_key(key))
        if output == "json":
            show_json(
                {
                    "version": release.version,
                    "commit": release.commit,
                    "materials": dict(release.materials),
                    "files": {str(file): digest.hex() for file, digest in digests.items()},
                }
            )
            return
        for file in digests:
            talk.print(f"[green]{safe(file)}[/] is of release {safe(release.version)}")
        talk.print(
            f"built from commit {safe(release.commit[:12])} with {len(release.materials)} "
            "pinned requirements"
        )


def _sha256(path: Path) -> bytes:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").digest()
