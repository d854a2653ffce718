"""`framegate profile learn` and `allowlist`: from what good machines ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from framegate.errors import Malformed, Reason, Refused
from framegate.eventlog import parse_boot_log
from framegate.eventlog.quirks import BY_TABLE
from framegate.identity.names import Kind, split_device_id
from framegate.ima import ImaEntry, looks_like_ima, parse_ima
from framegate.ima.allowlist import AllowedFile, allowlist_text
from framegate.ima.checksums import parse_checksums
from framegate.ima.judge import MAX_SHOWN, weak_digest
from framegate.profile.learn import Learnt, Observation, allowed_files, learn, unlistable
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.profile.posture import parse_posture
from framegate.tpm.constants import BANK_BY_NAME
from framegate.wire import sha256
from framegate_host.console import safe, talk, typed
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.evidence_kinds import Kind as EvidenceKind
from framegate_operator.evidence_reading import read_as, stranger
from framegate_operator.options import Context
from framegate_operator.output import counted, errors
from framegate_operator.profile_files import show_remarks
from framegate_proto.v1 import framegate_pb2 as pb


def learn_(  # noqa: PLR0913 - a command's options
    name: Annotated[
        str, typer.Option(help="Name of the profile, for instance the machine's model.")
    ],
    out: Annotated[
        Path, typer.Option(help="Where to write the profile; its allowlist goes beside it.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="A device of the fleet, or several separated by commas, that are known to "
            "be good.",
        ),
    ] = None,
    boot_log: Annotated[
        list[Path] | None, typer.Option(help="A boot log in a file; may be repeated.")
    ] = None,
    ima: Annotated[
        list[Path] | None,
        typer.Option(help="An IMA list in a file, of the boot log in the same place."),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(help="What machine the files are of; default: the profile is for any."),
    ] = None,
    version: str = "1.0.0",
    revision: Annotated[int, typer.Option(min=1)] = 1,
    description: str = "",
    bank: str = "sha256",
    base: Annotated[
        Path | None, typer.Option(help="An allowlist whose files stay allowed.")
    ] = None,
    context: Context = None,
) -> None:
    """Make a profile that the given machines satisfy. Read it, lint it, then sign it: what it calls
    good is what they ran.
    """
    with errors():
        if bank not in BANK_BY_NAME:
            raise Malformed.of(Reason.USAGE, f"--bank {', '.join(BANK_BY_NAME)}", ascii(bank[:20]))
        logs, names = boot_log or [], _names(source or [])
        machines = [
            *_of_files(logs, ima or [], kind),
            *(_of_fleet(names, context) if names else ()),
        ]
        if not machines:
            wanted = "--from DEVICE[,DEVICE…] or --boot-log FILE"
            hint = "learn from machines that you know to be good"
            raise Refused.of(Reason.USAGE, wanted, "neither", hint)
        summary = (
            description or f"learnt from {', '.join(names) or ', '.join(map(str, logs))}"[:200]
        )
        learnt = learn(
            machines,
            name=name,
            version=version,
            revision=revision,
            description=summary,
            bank=BANK_BY_NAME[bank],
            base=read_file(base) if base else b"",
        )
        tell_unlearnt(machines)
        write_learnt(learnt, out)
        talk.print(
            f"next: read it (framegate profile explain {typed(out)}), "
            f"then framegate profile sign {typed(out)} --key KEY"
        )


def tell_unlearnt(machines: Sequence[Observation]) -> None:
    """Say what of `machines` no learnt profile has: files that no allowlist can allow, quirks that
    need a table.
    """
    _tell_left_out(unlistable(e for m in machines for e in m.ima))
    for quirk in sorted(BY_TABLE & {q for m in machines for q in m.quirks}):
        talk.print(
            f"[yellow]{quirk} is left out[/]: a machine took it; copy it with its table from"
            " the profile in force"
        )


def _names(sources: list[str]) -> list[str]:
    return [n.strip() for each in sources for n in each.split(",") if n.strip()]


def _of_fleet(names: list[str], context: Path | None) -> list[Observation]:
    with operator_stub(load_context(context)) as stub:
        return [observation_of(stub.Observe(pb.DeviceRequest(device=n))) for n in names]


def _of_files(logs: list[Path], ima: list[Path], kind: Kind | None) -> list[Observation]:
    lists = [*ima, *[None] * len(logs)]
    return [
        Observation(
            read_as(log, parse_boot_log, EvidenceKind.BOOT_LOG),
            read_as(listed, parse_ima, EvidenceKind.IMA).entries if listed else (),
            kind=kind,
        )
        for log, listed in zip(logs, lists, strict=False)
    ]


def observation_of(seen: pb.Observation) -> Observation:
    """What a device of the fleet last showed. Says where it is not trusted. Raises Malformed."""
    if seen.state != "trusted":
        talk.print(
            f"[yellow]{safe(seen.device)} is {seen.state}[/]: you make a profile of what it runs; "
            "be sure that this is what it should run"
        )
    ima = parse_ima(seen.ima).entries if seen.ima else ()
    firmware = int(seen.tpm_firmware, 16) if seen.tpm_firmware else None
    return Observation(
        parse_boot_log(seen.boot_log),
        ima,
        parse_posture(seen.posture.encode()) if seen.posture else None,
        firmware,
        tuple(seen.quirks),
        split_device_id(seen.device).kind,
    )


def write_learnt(learnt: Learnt, out: Path) -> FirmwareProfile:
    """Write a profile and its allowlist beside it, and say what lint thinks of it."""
    text = tomli_w.dumps(learnt.profile)
    profile = parse_profile(text.encode())
    write_public(out, text.encode())
    pcrs = ",".join(map(str, profile.selection.pcrs))
    talk.print(f"{safe(out)}: {len(profile.rules)} events, {len(profile.texts)} texts, PCR {pcrs}")
    if learnt.allowlist:
        beside = out.with_suffix(".allowlist")
        write_public(beside, learnt.allowlist)
        files, digest = learnt.allowlist.count(b"sha"), sha256(learnt.allowlist).hex()
        talk.print(f"{safe(beside)}: {files} files, sha256:{digest}")
    show_remarks(profile, "table")
    return profile


def allowlist_(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="IMA lists, binary or ASCII, or the output of sha256sum, in any of its forms.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the allowlist.")],
) -> None:
    """Make an IMA allowlist from what good machines measured, or from a package's checksums."""
    with errors():
        allowed: list[AllowedFile] = []
        for file in files:
            allowed += _allowed(read_file(file), file)
        if not allowed:
            raise Malformed.of(
                Reason.USAGE, "files with a digest that may decide", "none in what was given"
            )
        content = allowlist_text(allowed)
        write_public(out, content)
        talk.print(
            f"{safe(out)}: {counted(len(set(allowed)), 'file')}; in the profile: "
            f'allowlists = ["sha256:{sha256(content).hex()}"]'
        )


def _allowed(raw: bytes, file: Path) -> list[AllowedFile]:
    """What a file lets be measured. Raises Malformed."""
    if looks_like_ima(raw):
        entries = parse_ima(raw).entries
        _tell_left_out(unlistable(entries))
        return allowed_files(entries)
    try:
        files = parse_checksums(raw)
        relative = [f.path for f in files if not f.path.startswith(b"/")]
        if relative:
            named = safe(relative[0].decode(errors="backslashreplace"))
            talk.print(
                f"[yellow]not absolute, {counted(len(relative), 'name')}[/], such as {named}: the"
                " kernel measures none so; make the list by absolute names: sha256sum /usr/bin/*"
            )
        return files
    except Malformed as error:
        first, other = error.failures[0], stranger(raw, EvidenceKind.IMA, EvidenceKind.CHECKSUMS)
        what = f"most likely {other}" if other else f"{first.expected}: {first.actual}"
        raise Malformed.of(
            Reason.USAGE,
            "an IMA list, or checksum and name as sha256sum writes them",
            f"{file}: {what}",
            first.hint,
        ) from error


def _tell_left_out(entries: Sequence[ImaEntry]) -> None:
    """Files that were measured and that no allowlist can allow: a machine that has them fails."""
    for entry in entries[:MAX_SHOWN]:
        talk.print(
            f"[yellow]left out[/]: {safe(entry.path.decode(errors='backslashreplace'))}"
            f" {safe(entry.algorithm or 'without a digest')}: {safe(weak_digest(entry))}"
        )
    if len(entries) > MAX_SHOWN:
        talk.print(f"[yellow]left out[/]: {len(entries) - MAX_SHOWN} more")
