"""`framegate evidence verify`: a quote in files as TPM tools write them, appraised without a
controller.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import FramegateError, Malformed, Reason
from framegate.evidence.offline import verify_files
from framegate.evidence.offline_result import OfflineResult
from framegate.ima.allowlist import parse_allowlist
from framegate.profile.model import parse_profile
from framegate_host import console
from framegate_host.console import EXIT_UNTRUSTED, EXIT_USAGE, safe, show_failures, show_json, talk
from framegate_operator.evidence_files import pcr_values, read_file
from framegate_operator.evidence_kinds import Kind
from framegate_operator.evidence_reading import read_as, stranger
from framegate_operator.options import Output
from framegate_operator.output import data, failure_json, show_table


def verify(  # noqa: PLR0913 - a command's options
    ak: Annotated[
        Path,
        typer.Option(
            help="The attestation key: TPM2B_PUBLIC, TPMT_PUBLIC, PEM or DER key or certificate."
        ),
    ],
    attest: Annotated[Path, typer.Option(help="What was signed: TPMS_ATTEST or TPM2B_ATTEST.")],
    signature: Annotated[Path, typer.Option(help="TPMT_SIGNATURE, or the bare signature.")],
    nonce: Annotated[
        str, typer.Option(help="The nonce that was asked for, in hexadecimal; empty for none.")
    ],
    pcrs: Annotated[
        Path | None,
        typer.Option(
            help="PCR values: JSON {bank: {pcr: hex}}, or as tpm2-tools (text, serialized, "
            "values) or go-tpm write them."
        ),
    ] = None,
    boot_log: Annotated[Path | None, typer.Option(help="The firmware's event log.")] = None,
    ima: Annotated[
        Path | None, typer.Option(help="The IMA measurement list, binary or ASCII.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="A firmware profile (TOML) to appraise by.")
    ] = None,
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(help="An IMA allowlist that the profile names; may be repeated."),
    ] = None,
    output: Output = "table",
) -> None:
    """Verify a quote in files. Exit code 0 affirming, 6 untrusted with all reasons, 2 where a file
    or option cannot be read.
    """
    with console.errors(_unreadable, {}):
        expected = _nonce(nonce)
        parsed = read_as(profile, parse_profile, Kind.PROFILE) if profile else None
        lists = [read_as(a, parse_allowlist, Kind.ALLOWLIST) for a in allowlist or ()]
        quoted = read_file(attest)
        values = read_as(pcrs, partial(pcr_values, attest=quoted), Kind.PCRS) if pcrs else None
    given = {
        "--ak": (read_file(ak), (Kind.PUBLIC, Kind.CERTIFICATE)),
        "--attest": (quoted, (Kind.ATTEST,)),
        "--signature": (read_file(signature), (Kind.SIGNATURE,)),
    }
    if boot_log:
        given["--boot-log"] = (read_file(boot_log), (Kind.BOOT_LOG,))
    if ima:
        given["--ima"] = (read_file(ima), (Kind.IMA,))
    report = verify_files(
        ak=given["--ak"][0],
        attest=quoted,
        signature=given["--signature"][0],
        nonce=expected,
        pcrs=values,
        boot_log=given["--boot-log"][0] if boot_log else None,
        ima=given["--ima"][0] if ima else None,
        profile=parsed,
        allowlists=lists,
    )
    # what reads well may look odd: a guess counts only beside a failure
    guesses = {o: stranger(raw, *kinds) for o, (raw, kinds) in given.items()}
    others = {} if report.affirming else {o: g for o, g in guesses.items() if g}
    if output == "json":
        show_json({**_report_json(report), "other_kinds": others})
    else:
        _tell(report)
        for option, guess in others.items():
            talk.print(f"the file of {option} is most likely {safe(guess)}")
    if not report.affirming:
        raise typer.Exit(EXIT_UNTRUSTED)


def _unreadable(_error: FramegateError) -> int:
    """A profile, allowlist or PCR file that cannot be read says nothing of the evidence."""
    return EXIT_USAGE


def _nonce(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        hint = "the one that the quote was asked with, or an empty one"
        raise Malformed.of(
            Reason.USAGE, "--nonce in hexadecimal", ascii(text[:40]), hint
        ) from error


def _report_json(report: OfflineResult) -> dict[str, Any]:
    return {
        "verdict": "affirming" if report.affirming else "untrusted",
        "vector": report.vector(),
        "checked": report.checked,
        "unchecked": report.unchecked,
        "failures": [failure_json(f) for f in report.failures],
        "findings": [failure_json(f) for f in report.findings],
        "facts": report.facts,
    }


def _tell(report: OfflineResult) -> None:
    data.print("[green]affirming[/]" if report.affirming else "[red]untrusted[/]")
    rows = [("checked", c) for c in report.checked]
    rows += [("not checked", u) for u in report.unchecked]
    rows += list(report.facts.items())
    show_table(("", ""), rows, empty="nothing could be checked")
    show_failures(report.failures, data)
    if report.findings:
        talk.print("Findings, which alone are no reason to refuse:")
        show_failures(report.findings)
