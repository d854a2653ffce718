"""framegate release: is a package what the project built? Asked before it is installed, offline."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from framegate.identity.certificates import spki_of
from framegate.signed.release import MAX_BUNDLE_BYTES, SIGNED_NAME, Taken, verify_release
from framegate_host.console import safe, show_json, talk
from framegate_host.key_files import read_public_key
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.decision_files import (
    log_trust,
    verify_logged_release,
)
from framegate_operator.options import Context, Output, write
from framegate_operator.output import errors
from framegate_proto.v1 import framegate_pb2 as pb

PROOF_H = 10 * 365 * 24
"""Hours: that something was approved does not grow old."""
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
    proof: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Demand that it was approved: the proof, by framegate log prove.",
        ),
    ] = None,
    log_key: Annotated[str, typer.Option(help="With --proof: the log's key.")] = "",
    cosigner: Annotated[
        list[str] | None,
        typer.Option(help="With --proof: key of a witness; each of them must have cosigned."),
    ] = None,
    output: Output = "table",
) -> None:
    """That these files are of one release that the project signed: their bytes, the commit and
    the requirements they were built from; with --proof, that the fleet approved it where witnesses
    saw it. Asks nobody.
    """
    with errors():
        bundle = signature or files[0].parent / SIGNED_NAME
        with bundle.open("rb") as source:
            signed = source.read(MAX_BUNDLE_BYTES + 1)
        # by path: two files of one name in two folders are two files
        digests = {file: _sha256(file) for file in files}
        taken = [Taken(file.name, digest) for file, digest in digests.items()]
        release = verify_release(signed, taken, read_public_key(key))
        if proof is not None:
            trust = log_trust(None, log_key, cosigner or (), len(cosigner or ()), PROOF_H)
            head = verify_logged_release(proof, hashlib.sha256(signed).digest(), trust).head
            talk.print(f"[green]approved[/] in {safe(head.origin)} of {head.size} decisions")
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


@app.command("approve")
@write
def approve(
    bundle: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=f"Its signature, {SIGNED_NAME}.")
    ],
    key: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The project's public key (PEM)."),
    ],
    context: Context = None,
) -> None:
    """Let a release be installed in this fleet: it stands in the log of decisions, for whoever
    demands that (release verify --proof).
    """
    with errors():
        der = spki_of(read_public_key(key))
        request = pb.ApproveReleaseRequest(bundle=bundle.read_bytes(), key=der)
        with operator_stub(load_context(context)) as stub:
            row = stub.ApproveRelease(request)
        talk.print(f"[green]release {safe(row.version)}[/] may be installed")
        talk.print(f"next: framegate log prove {row.sha256[:16]} --out release.tlog-proof")


def _sha256(path: Path) -> bytes:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").digest()
