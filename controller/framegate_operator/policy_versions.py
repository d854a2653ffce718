"""Versions of the access policy, and of what stands beside it: put in force, and what was."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.access.policy import SCHEMA, parse_policy
from framegate.access.policy_update import updated_policy
from framegate_host.console import show_json, talk, typed
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import WRITE, Context, Output, read, write
from framegate_operator.output import ago, errors, show_table
from framegate_operator.policy_files import (
    fetch_policy,
    policy_messages,
    read_folder,
    write_folder,
)
from framegate_operator.policy_status import tell_missing
from framegate_proto.v1 import framegate_pb2 as pb

UPDATED: Final = "what this version has"


def apply_folder(folder: Path, *, note: str, base: int, output: str, context: Path | None) -> None:
    """Ask for a folder's policy to be put in force in place of version `base` (0: the folder's
    VERSION, else the one in force).
    """
    files = read_folder(folder)
    tell_missing(parse_policy(files), f"framegate policy update {shlex.quote(str(folder))}")
    kept = folder / "VERSION"
    known = base or (int(kept.read_text().strip() or 0) if kept.exists() else 0)
    version = apply_files(files, note=note, base=known, output=output, context=context)
    if kept.exists():
        write_public(kept, f"{version}\n".encode())


def apply_files(
    files: Mapping[str, str], *, note: str, base: int, output: str, context: Path | None
) -> int:
    """Ask for `files` to be put in force in place of version `base` (0: the one in force); the
    version that they became.
    """
    with operator_stub(load_context(context)) as stub:
        version = base or stub.ShowPolicy(pb.PolicyRequest()).version
        reply = stub.ApplyPolicy(
            pb.ApplyPolicyRequest(files=policy_messages(files), base=version, note=note)
        )
    if output == "json":
        show_json(_version(reply))
    else:
        talk.print(f"access policy version {reply.version} ({reply.sha256.hex()[:16]}) is in force")
    return int(reply.version)


@write
def update(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help=f"A folder with {SCHEMA} and .cedar files, instead of what is in force."
        ),
    ] = None,
    playbooks: Annotated[
        bool,
        typer.Option(
            "--playbooks", help="Add the rules about playbooks although the schema knew them."
        ),
    ] = False,
    note: Annotated[str, typer.Option(help="What it changes, for the history.")] = UPDATED,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Add what this version has and the policy in force lacks: verbs, and the rules about playbooks
    where it knew none. Other rules stay. Somebody else has to approve exactly this. With a folder:
    change that one instead; needs no controller.
    """
    with errors():
        policy = None if folder else fetch_policy(load_context(context))
        files = read_folder(folder) if folder else policy.files if policy else {}
        done = updated_policy(files, playbooks=playbooks)
        if done.silent:
            talk.print(
                "[yellow]no rule speaks of playbooks: they may do nothing[/]; "
                "next: framegate policy update --playbooks"
            )
        if done.files == files:
            talk.print("nothing to add: it has every verb of this version")
            return
        talk.print(f"added: {', '.join(done.added) or 'that playbooks may ask'}")
        if policy is not None:
            apply_files(done.files, note=note, base=policy.version, output=output, context=context)
        elif folder is not None and not WRITE.get().dry_run:
            write_folder(folder, done.files)
            talk.print(f"next: framegate policy apply {typed(folder)}")


@read
def history(output: Output = "table", context: Context = None) -> None:
    """Versions that were in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.PolicyHistory(pb.ListRequest()).versions
        if output == "json":
            show_json([_version(r) for r in rows])
            return
        cells = [
            (r.version, r.sha256.hex()[:16], r.applied_by, ago(r.applied_ms), r.note) for r in rows
        ]
        show_table(("version", "sha256", "by", "when", "note"), cells, empty="none")


def _version(r: pb.PolicyReply) -> dict[str, Any]:
    return {
        "version": r.version,
        "sha256": r.sha256.hex(),
        "applied_by": r.applied_by,
        "applied_ms": r.applied_ms,
        "note": r.note,
    }
