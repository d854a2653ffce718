"""`framegate result …`: Attestation Results as signed EARs, shown and checked by anybody who has
the fleet's root.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from cryptography import x509

from framegate.errors import Malformed, Reason, Refused
from framegate.evidence.ear import MAX_EAR_BYTES, SUBMOD, verify_ear
from framegate_host.console import EXIT_UNTRUSTED, show_json, talk
from framegate_host.printing import show_text
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.options import Context, Output, read
from framegate_operator.output import data, errors, short_id, shortened, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True, help="Attestation Results as signed EARs (JWT): show, verify."
)
_ID: Final = re.compile(r"[0-9a-f]{6,32}")
_WHOLE: Final = 32
_WORDS = {0: "no claim", 2: "affirming", 32: "warning", 96: "contraindicated"}


@app.command()
@read
def show(
    result: Annotated[
        str,
        typer.Argument(
            help=(
                "A result's id or its unique beginning, as `camera show` and receipts name it; or a"
                " device, for its last one, whatever came of it."
            )
        ),
    ],
    output: Annotated[
        Literal["table", "json", "jwt"],
        typer.Option("--output", "-o", help="jwt is the signed EAR itself."),
    ] = "table",
    context: Context = None,
) -> None:
    """A result: who, when, by which profile, on which evidence, with which trustworthiness."""
    with errors():
        fleet = load_context(context)
        with operator_stub(fleet) as stub:
            ear = _by_id(stub, result) or _last_of(stub, result)
        if output == "jwt":
            show_text(ear)
            return
        _tell(verify_ear(ear, fleet.root_certificate), output)


def _by_id(stub: Any, result: str) -> str:
    """The EAR of the result that begins so; empty where none does."""
    if not _ID.fullmatch(result):
        return ""
    try:
        return str(stub.Result(pb.ResultRequest(result_id=result)).ear)
    except Refused as error:
        if error.reason != Reason.NOT_FOUND or len(result) == _WHOLE:
            raise
        return ""


def _last_of(stub: Any, name: str) -> str:
    """The EAR of a machine's last result, whatever came of it."""
    detail = stub.Show(pb.DeviceRequest(device=name))
    if not detail.ear:
        summary = detail.summary
        hint = f"framegate {summary.kind} why {summary.name}"
        wanted = "a device whose evidence was appraised"
        raise Malformed.of(Reason.NOT_FOUND, wanted, f"{summary.device} is {summary.state}", hint)
    return str(detail.ear.decode())


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An EAR in a file, or - for standard input.")],
    root: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The fleet's root certificate (PEM).")
    ],
    output: Output = "table",
) -> None:
    """Check an EAR offline. Exit code 0 where it is genuine and affirming or a warning, 6 where it
    is genuine and contraindicated.
    """
    with errors():
        raw = sys.stdin.buffer.read(MAX_EAR_BYTES + 1) if str(file) == "-" else read_file(file)
        try:
            certificate, token = (
                x509.load_pem_x509_certificate(read_file(root)),
                raw.decode("ascii").strip(),
            )
        except ValueError as error:
            raise Malformed.of(
                Reason.USAGE, "an EAR in ASCII and a root certificate in PEM", type(error).__name__
            ) from error
        claims = verify_ear(token, certificate)
        _tell(claims, output)
        if claims["submods"][SUBMOD]["ear.status"] == "contraindicated":
            raise typer.Exit(EXIT_UNTRUSTED)


def _tell(claims: dict[str, Any], output: str) -> None:
    if output == "json":
        show_json(claims)
        return
    submod, left = claims["submods"][SUBMOD], claims["exp"] - time.time()
    rows: list[tuple[str, object]] = [
        ("device", claims["sub"]),
        ("result", short_id(claims["jti"])),
        ("status", submod["ear.status"]),
        ("made", time.strftime("%F %TZ", time.gmtime(claims["iat"]))),
        ("stands", f"{left:.0f} s more" if left > 0 else f"no longer, ended {-left:.0f} s ago"),
        ("by", claims["ear.verifier-id"]["build"]),
        ("firmware profile", shortened(submod["ear.appraisal-policy-id"])),
        ("evidence", short_id(submod["framegate.evidence-sha256"])),
    ]
    rows += [(f"  {k}", _WORDS.get(v, v)) for k, v in submod["ear.trustworthiness-vector"].items()]
    rows += [(f"  TPM {k}", shortened(str(v))) for k, v in submod["framegate.tpm"].items()]
    rows += [
        ("failure", f"{f['reason']}: expected {f['expected']}, got {f['actual']}")
        for f in submod["framegate.failures"][:20]
    ]
    rows += [
        ("finding", f"{f['reason']}: {f['actual']}; {f['hint']}")
        for f in submod["framegate.findings"]
    ]
    data.print("signature and certificate hold")
    show_table(("", ""), rows, empty="")
    if left <= 0:
        talk.print("It was genuine and is over: a relying party asks for a fresh one.")
