"""`framegate profile import`: signed profiles, and a vendor's reference values."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import tomli_w
import typer

from framegate.errors import Malformed, Reason, Refused
from framegate.eventlog import parse_boot_log
from framegate.profile.learn import Observation, learn
from framegate.profile.model import parse_profile
from framegate.tpm.constants import BANK_BY_NAME
from framegate_host.console import safe, show_json, talk
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.evidence_kinds import Kind as EvidenceKind
from framegate_operator.evidence_reading import read_as
from framegate_operator.options import Context, Output, write
from framegate_operator.output import errors
from framegate_operator.profile_files import show_remarks
from framegate_operator.reference_values import from_corim
from framegate_proto.v1 import framegate_pb2 as pb

MAX_SENT: Final = 6 * 1024 * 1024
"""What fits into one message to the controller: some 50,000 files."""


@write
def import_(  # noqa: PLR0913 - a command's options
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A signed profile, a CoRIM or CoMID (CBOR), or a TCG RIM's support log.",
        ),
    ],
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="An IMA allowlist that it names; may be repeated."
        ),
    ] = None,
    for_rollout: Annotated[
        bool,
        typer.Option(
            "--for-rollout",
            help="Keep it for framegate rollout start, instead of putting it in force at once.",
        ),
    ] = False,
    reference: Annotated[
        str,
        typer.Option(
            help="corim (a CoMID alone as well) or tcg-rim: turn the file's reference values into "
            "a profile to read and sign, instead of importing it."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="With --reference: where to write the profile.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --reference.")] = "imported",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Bring a signed profile into the fleet; or turn a vendor's reference values (CoRIM, TCG RIM)
    into a profile.
    """
    with errors():
        if reference:
            _reference(file, reference, out or Path(f"{name}.toml"), name)
            return
        raw, lists = read_file(file), [read_file(a) for a in allowlist or ()]
        with operator_stub(load_context(context)) as stub:
            row = import_profile(stub, raw, lists, for_rollout=for_rollout)
        if output == "json":
            show_json(profile_json(row))
            return
        kept = "in force" if row.in_force else "kept"
        what = f"{safe(row.name)} {safe(row.version)} revision {row.revision}"
        talk.print(f"{what}, signed by {safe(row.signer)}: {kept}, {row.devices} devices")
        if for_rollout:
            options = "--canary 1 --waves 10,50,100 --max-fail 1 --soak 1h"
            talk.print(f"next: framegate rollout start {safe(row.name)} {options}")


def import_profile(
    stub: Any, raw: bytes, lists: list[bytes], *, for_rollout: bool
) -> pb.ProfileRow:
    """Bring the signed profile `raw` and the allowlists that it names into the fleet. Raises
    Refused (TOO_LARGE), or what the controller says.
    """
    size = sum(map(len, lists))
    if size > MAX_SENT:
        hint = (
            "on the controller's host: framegate-controller profile allowlist FILE; "
            "then import without --allowlist"
        )
        most = f"allowlists of at most {MAX_SENT >> 20} MiB together"
        raise Refused.of(Reason.TOO_LARGE, most, f"{size >> 20} MiB", hint)
    request = pb.ImportProfileRequest(envelope=raw, allowlists=lists, for_rollout=for_rollout)
    row: pb.ProfileRow = stub.ImportProfile(request)
    return row


def _reference(file: Path, kind: str, out: Path, name: str) -> None:
    if kind == "corim":
        body = read_as(file, partial(from_corim, name=name), EvidenceKind.CORIM, EvidenceKind.COMID)
    elif kind == "tcg-rim":
        log = read_as(file, parse_boot_log, EvidenceKind.BOOT_LOG)
        bank = next((b for n, b in BANK_BY_NAME.items() if b in log.banks and n != "sha1"), None)
        if bank is None:
            raise Malformed.of(
                Reason.BOOT_LOG_MALFORMED,
                "a support RIM with SHA-256 or stronger",
                ", ".join(b.name for b in log.banks),
            )
        body, _ = learn(
            [Observation(log)],
            name=name,
            version="1",
            revision=1,
            description="from the vendor's TCG RIM",
            bank=bank,
        )
    else:
        raise Malformed.of(Reason.USAGE, "--reference corim or tcg-rim", ascii(kind[:20]))
    text = tomli_w.dumps(body)
    profile = parse_profile(text.encode())
    write_public(out, text.encode())
    talk.print(
        f"{safe(out)}: {len(profile.rules)} events from the vendor's reference values; "
        "the vendor's signature is not checked here: check where the file came from"
    )
    show_remarks(profile, "table")


def profile_json(row: pb.ProfileRow) -> dict[str, Any]:
    """One revision of a profile as JSON."""
    return {
        "name": row.name,
        "kind": row.kind,
        "version": row.version,
        "revision": row.revision,
        "sha256": row.sha256.hex(),
        "signer": row.signer,
        "added_ms": row.added_ms,
        "in_force": row.in_force,
        "devices": row.devices,
        "problem": row.problem,
    }
