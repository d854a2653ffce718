"""Versions of the access policy, and of what stands beside it: put in force, and what was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framegate.access.policy import parse_policy
from framegate_host.console import show_json, talk
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table
from framegate_operator.policy_files import policy_messages, read_folder
from framegate_operator.policy_status import tell_missing
from framegate_proto.v1 import framegate_pb2 as pb


def apply_folder(folder: Path, *, note: str, base: int, output: str, context: Path | None) -> None:
    """Ask for a folder's policy to be put in force in place of version `base` (0: the folder's
    VERSION, else the one in force).
    """
    files = read_folder(folder)
    tell_missing(parse_policy(files), f"framegate policy update {folder}")
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
