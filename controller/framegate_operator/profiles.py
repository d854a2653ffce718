"""`framegate profile …`: learn, read, compare, sign and import firmware profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.profile.review import diff, explain
from framegate_host.console import EXIT_FAILED, safe, show_json
from framegate_host.printing import show_text
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, data, errors, short_id, show_table
from framegate_operator.profile_files import File, load_profile, show_remarks
from framegate_operator.profile_imports import import_, profile_json
from framegate_operator.profile_learning import allowlist_, learn_
from framegate_operator.profile_signing import revoke_signer, sign
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Firmware profiles: what a machine must have booted. Learn, lint, diff, sign, import.",
)
app.command("learn")(learn_)


@app.command("lint")
def lint_(file: File, output: Output = "table") -> None:
    """What an attacker would thank this profile for. Exit code 1 where there is an error among
    it.
    """
    with errors():
        remarks = show_remarks(load_profile(file), output)
    if any(r.error for r in remarks):
        raise typer.Exit(EXIT_FAILED)


@app.command("diff")
def diff_(old: File, new: File, output: Output = "table") -> None:
    """What the second profile demands otherwise than the first, in words."""
    with errors():
        lines = diff(load_profile(old), load_profile(new))
    if output == "json":
        show_json(lines)
    else:
        show_table(("change",), [(line,) for line in lines], empty="they demand the same")


@app.command("explain")
def explain_(
    profile: Annotated[str, typer.Argument(help="A file, or the name of a profile in force.")],
    revision: Annotated[int, typer.Option(min=0)] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What a profile demands, a sentence a line."""
    with errors():
        lines = explain(
            load_profile(Path(profile))
            if Path(profile).is_file()
            else _fetch(profile, revision, context)[0]
        )
    if output == "json":
        show_json(lines)
    else:
        for line in lines:
            data.print(safe(line))


@app.command("show")
def show(
    name: str, revision: Annotated[int, typer.Option(min=0)] = 0, context: Context = None
) -> None:
    """Print a profile of the fleet as TOML."""
    with errors():
        show_text(_fetch(name, revision, context)[1], end="")


app.command("sign")(sign)
app.command("import")(import_)


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Every revision of every profile, who signed it, and which is in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListProfiles(pb.ListRequest()).profiles
        if output == "json":
            show_json([profile_json(r) for r in rows])
            return
        columns = (
            "profile",
            "for",
            "version",
            "revision",
            "stands",
            "devices",
            "signed by",
            "added",
            "sha256",
            "problem",
        )
        cells = [
            (
                r.name,
                r.kind or "any",
                r.version,
                r.revision,
                "in force" if r.in_force else "",
                r.devices if r.in_force else "",
                r.signer,
                ago(r.added_ms),
                short_id(r.sha256.hex()),
                r.problem,
            )
            for r in rows
        ]
        show_table(
            columns,
            cells,
            empty="none: framegate profile learn --from DEVICE, "
            "or framegate-controller profile add FILE",
            spare=("added", "version", "sha256", "signed by"),
        )


app.command("revoke-signer")(revoke_signer)
app.command("allowlist")(allowlist_)


def _fetch(name: str, revision: int, context: Path | None) -> tuple[FirmwareProfile, str]:
    with operator_stub(load_context(context)) as stub:
        reply = stub.ShowProfile(pb.ProfileRequest(name=name, revision=revision))
    return parse_profile(reply.toml), reply.toml.decode()
