"""`framegate model …`: sign a bundle, make it known, approve it, put it in force, go back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.identity import pem
from framegate.signed.model import (
    SIGNATURE_NAME,
    SignedModel,
    bundle_digest,
    sign_model,
    verify_model,
)
from framegate.signed.pin import anchor_of, key_anchor, parse_pin, root_anchor
from framegate.wire import sha256
from framegate_host.console import safe, show_json, talk
from framegate_host.key_files import read_private_key, read_public_key
from framegate_host.printing import show_text
from framegate_host.private_files import write_public
from framegate_operator.answers import CONTROLLER, json_object
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, data, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Models: signed bundles that gateways inspect with, by approval of their digest.",
)
Bundle = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The bundle's folder.")]
Digest = Annotated[
    str, typer.Argument(help="The model's digest, or its unique beginning: framegate model list.")
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key", exists=True, dir_okay=False, help="Public key (PEM) that must have signed it."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        exists=True,
        dir_okay=False,
        help="Root certificate (PEM) of model signers, in certificate mode.",
    ),
]
Signer = Annotated[
    str, typer.Option("--signer", help="Common name that the signer's certificate must have.")
]
MAX_FILE_BYTES = 512 * 1024 * 1024


@app.command()
def sign(
    bundle: Bundle,
    key: Annotated[
        Path,
        typer.Option(
            "--key", exists=True, dir_okay=False, help="Private key (PEM): P-256, P-384 or P-521."
        ),
    ],
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            exists=True,
            dir_okay=False,
            help="Its certificate, for code signing (PEM): certificate mode.",
        ),
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option(
            "--chain", exists=True, dir_okay=False, help="Issuers above it (PEM); may be repeated."
        ),
    ] = None,
) -> None:
    """Sign a bundle, in the format of OpenSSF model signing; works offline. A key: openssl ecparam
    -name prime256v1 -genkey -noout -out KEY.
    """
    with errors():
        private = read_private_key(key)
        issuers = [
            pem.certificate(path.read_bytes(), path)
            for path in ([certificate] if certificate else []) + (chain or [])
        ]
        if chain and not certificate:
            raise Refused.of(Reason.USAGE, "--certificate beside --chain", "none")
        files = _files(bundle)
        signature = sign_model(bundle.resolve().name, files, private, issuers)
        write_public(bundle / SIGNATURE_NAME, signature)
        talk.print(f"{len(files)} files signed: {safe(bundle / SIGNATURE_NAME)}")
        show_text(bundle_digest(files).hex())


@app.command()
def verify(
    bundle: Bundle,
    key: Key = None,
    root: Root = None,
    signer: Signer = "",
    output: Output = "table",
) -> None:
    """Check that a bundle is what a signer you trust has signed: every file, none more, none
    changed.
    """
    with errors():
        verified = _verified(_files(bundle), _signature(bundle), _anchor(key, root, signer), signer)
        if output == "json":
            show_json(
                {"name": verified.name, "digest": verified.digest.hex(), "signer": verified.signer}
            )
            return
        talk.print(f"[green]signed by {safe(verified.signer)}[/]")
        show_text(verified.digest.hex())


@app.command()
@write
def register(
    bundle: Bundle,
    key: Key = None,
    root: Root = None,
    signer: Signer = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Make a signed bundle known to the fleet: digests, signature, recipe and card; the model
    itself stays where it is.
    """
    with errors():
        files, signature, anchor = _files(bundle), _signature(bundle), _anchor(key, root, signer)
        verified = _verified(files, signature, anchor, signer)
        request = pb.RegisterModelRequest(
            signature=signature,
            files=[pb.FileDigest(name=n, sha256=d) for n, d in sorted(files.items())],
            anchor=anchor,
            signer=verified.signer,
            recipe=(bundle / "recipe.json").read_bytes(),
            card=(bundle / "card.json").read_bytes() if "card.json" in files else b"",
        )
        with operator_stub(load_context(context)) as stub:
            row = stub.RegisterModel(request)
        _told(
            row,
            f"{safe(row.name)} {row.version} is registered, signed by {safe(row.signer)}; next:"
            f" framegate model approve {row.digest[:16]}",
            output,
        )


@app.command()
@write
def approve(
    digest: Digest,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the approval back.")] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Approve a registered model; takes two persons. Nothing runs it before it is promoted."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.ApproveModel(pb.ModelRequest(digest=digest, withdraw=withdraw))
        _told(
            row,
            f"{safe(row.name)} {row.version} is {safe(row.state)}"
            + ("" if withdraw else f"; next: framegate model promote {row.digest[:16]} ZONE"),
            output,
        )


@app.command()
@write
def promote(
    digest: Digest,
    zone: Annotated[str, typer.Argument(help="The zone whose gateways are to run it.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put an approved model in force in a zone. Each gateway proves it by its known answers first,
    then switches between two frames.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.PromoteModel(pb.ModelRequest(digest=digest, zone=zone))
        _told(
            row,
            f"{safe(row.name)} {row.version} is in force in {safe(zone)}; framegate gateway status"
            " shows when each gateway runs it",
            output,
        )


@app.command()
@write
def rollback(
    zone: Annotated[str, typer.Argument(help="The zone.")],
    to: Annotated[
        str,
        typer.Option("--to", help="Digest of the model to go back to; default: the one before."),
    ] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Go back to an earlier model that is still approved. Without this, gateways refuse an older
    version.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.RollBackModel(pb.ModelRequest(digest=to, zone=zone))
        _told(row, f"{safe(zone)} goes back to {safe(row.name)} {row.version}", output)


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Models that are known, with their state and the zones that run them."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListModels(pb.ListRequest()).models
        if output == "json":
            show_json([_row(r) for r in rows])
            return
        cells = [
            (
                r.digest[:16],
                f"{r.name} {r.version}",
                r.state,
                ", ".join(r.zones),
                r.signer,
                ", ".join(r.approved_by),
                ago(r.at_ms),
            )
            for r in rows
        ]
        show_table(
            ("digest", "model", "state", "in force in", "signer", "approved by", "registered"),
            cells,
            empty="no model yet: framegate model register BUNDLE --key PUBLIC_KEY",
        )


@app.command()
@read
def show(digest: Digest, output: Output = "table", context: Context = None) -> None:
    """One model: recipe, figures and training data from its card, files, and where it has been in
    force.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ShowModel(pb.ModelRequest(digest=digest))
        card = json_object(reply.card or b"{}", "a model's card", CONTROLLER)
        recipe = json_object(reply.recipe, "a model's recipe", CONTROLLER)
        pins = [parse_pin(p) for p in reply.pins]
        if output == "json":
            where = [
                {
                    "zone": p.zone,
                    "sequence": p.sequence,
                    "rollback": bool(p.rollback),
                    "at_ms": p.issued_at_ms,
                }
                for p in pins
            ]
            show_json(
                {
                    **_row(reply.row),
                    "recipe": recipe,
                    "card": card,
                    "files": {f.name: f.sha256.hex() for f in reply.files},
                    "pins": where,
                }
            )
            return
        r, held_out, trained = reply.row, card.get("held_out", {}), card.get("trained_on", {})
        rows = [
            ("model", f"{r.name} {r.version}"),
            ("digest", r.digest),
            ("state", f"{r.state}{', by ' + ', '.join(r.approved_by) if r.approved_by else ''}"),
            ("signer", r.signer),
            ("registered", f"by {r.registered_by}, {ago(r.at_ms)}"),
            ("classes", ", ".join(map(str, recipe.get("classes", [])))),
            ("threshold", recipe.get("threshold", "")),
            (
                "figures",
                (
                    f"mAP {100 * held_out['map']:.1f} %, F {100 * held_out['f']:.1f} % on"
                    f" {held_out['images']} held-out images"
                    if held_out
                    else "none in its card"
                ),
            ),
            (
                "trained on",
                (
                    f"{trained.get('source') or 'not said'}, digest"
                    f" {str(trained.get('sha256', ''))[:16]}, vouched for by"
                    f" {trained.get('signer') or 'nobody'}"
                ),
            ),
            ("files", len(reply.files)),
            (
                "in force",
                "; ".join(f"{p.zone}, pin {p.sequence}, {ago(p.issued_at_ms)}" for p in pins)
                or "never",
            ),
        ]
        show_table(("", ""), rows, empty="nothing is known of it")


def _anchor(key: Path | None, root: Path | None, signer: str) -> str:
    """Who must have signed, as pins have it. Raises Refused (USAGE) where neither a key, nor a root
    with a signer's name, is given.
    """
    if key is not None and root is None:
        return key_anchor(read_public_key(key))
    if root is not None and key is None and signer:
        return root_anchor(pem.certificate(root.read_bytes(), root))
    raise Refused.of(
        Reason.USAGE, "--key PUBLIC_KEY, or --root ROOT with --signer NAME", "neither, or both"
    )


def _signature(bundle: Path) -> bytes:
    path = bundle / SIGNATURE_NAME
    return path.read_bytes() if path.is_file() else b""


def _verified(files: dict[str, bytes], signature: bytes, anchor: str, signer: str) -> SignedModel:
    keys, roots = anchor_of(anchor)
    return verify_model(
        signature, files, keys=keys, roots=roots, signers=[signer] if signer else []
    )


def _files(bundle: Path) -> dict[str, bytes]:
    """Name to SHA-256 of every file but the signature. Raises Malformed for links and devices."""
    digests = {}
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if (
            path.is_symlink()
            or not (path.is_file() or path.is_dir())
            or (path.is_file() and path.stat().st_size > MAX_FILE_BYTES)
        ):
            raise Malformed.of(
                Reason.MODEL,
                f"files of at most {MAX_FILE_BYTES} bytes, no links",
                ascii(name)[:120],
                "take it out",
            )
        if path.is_file() and name != SIGNATURE_NAME:
            digests[name] = sha256(path.read_bytes())
    if "recipe.json" not in digests:
        raise Unavailable.of(
            Reason.MODEL,
            f"a model bundle in {bundle}",
            "no recipe.json",
            "framegate-gateway model train makes one",
        )
    return digests


def _row(row: Any) -> dict[str, Any]:
    return {
        "digest": row.digest,
        "name": row.name,
        "version": row.version,
        "state": row.state,
        "zones": list(row.zones),
        "signer": row.signer,
        "registered_by": row.registered_by,
        "approved_by": list(row.approved_by),
        "at_ms": row.at_ms,
    }


def _told(row: Any, sentence: str, output: str) -> None:
    if output == "json":
        show_json(_row(row))
        return
    talk.print(sentence)
    data.print(safe(row.digest))
