"""`framegate compliance …`: which controls the fleet's checks support, shown and taken away with
their evidence; and what only a person knows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.assessment.bundle import bundle, results
from framegate.assessment.framework import Claimed, framework_named, frameworks, sayable
from framegate.assessment.page import SUPPORTS, by_status, day
from framegate.assessment.reading import View
from framegate.assessment.standing import STATED, standing
from framegate.assessment.statement import PostureStatement, parse_said, said_in
from framegate.errors import Malformed, Reason
from framegate.identity.pem import certificates, private_key
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import private_folder, write_private
from framegate_operator.assess import check_words
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import counted, data, errors, show_table
from framegate_operator.recorded import (
    Export,
    Root,
    now_ms,
    read_record,
    record_of,
    take_record,
    taken_from,
)
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Which controls of which framework the fleet's checks support, with the evidence.",
)
ROOT_FILE: Final = "root.pem"
EXAMPLE: Final = """version = 1

[[statement]]
about = "ztmm/data.inventory"
says = "initial"
because = "the list of what we keep is in the quality handbook, chapter 4"
expires = 2027-06-30

[[statement]]
about = "hipaa"
says = "not-applicable"
because = "no picture of this plant shows health information"
expires = 2027-06-30
"""
Framework = Annotated[str, typer.Argument(help="Its id: framegate compliance list.")]


@app.command("list")
@read
def list_(
    export: Export = None, root: Root = None, output: Output = "table", context: Context = None
) -> None:
    """Every framework that there is a mapping for, and how its claims stand."""
    with errors():
        record = read_record(context, export, root)
        found = standing(record.reading, record.at_ms)
        words = by_status(found.claims)
        if output == "json":
            show_json([_framework(name, words[name]) for name in found.claims])
            return
        rows = [
            (name, f.version, len(f.claims), words[name], f.mapping)
            for name, f in frameworks().items()
        ]
        show_table(("framework", "version", "claims", "are", "mapping"), rows, empty="")
        talk.print(SUPPORTS, soft_wrap=True)
        talk.print("next: framegate compliance show FRAMEWORK")


@app.command("show")
@read
def show(
    framework: Framework,
    export: Export = None,
    root: Root = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Every claim of a framework: what supports which control, whether the checks hold, the facts
    with their entries, what to do next, and what the customer must still do.
    """
    with errors():
        known = framework_named(framework)
        record = read_record(context, export, root)
        found = standing(record.reading, record.at_ms, framework=framework)
        if output == "json":
            show_json(results(found))
            return
        for claimed in found.claims[framework]:
            _tell(claimed)
        talk.print(
            f"{known.source}, {known.version}; mapping {known.mapping} of {known.reviewed}, "
            f"reviewed by {known.reviewer}. {SUPPORTS}",
            soft_wrap=True,
        )


@app.command("export")
def export_(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    framework: Annotated[str, typer.Option(help="Only this one; default: all.")] = "",
    export: Export = None,
    root: Root = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Take the evidence away: the record with its signed head, a proof of each entry that is named,
    OSCAL 1.2.1, OCSF findings, one page, and what it takes to work everything out anew.
    """
    with errors():
        if framework:
            framework_named(framework)
        taken = take_record(context) if export is None else taken_from(export, root)
        record = record_of(taken)
        at_ms = now_ms(record.reading) if export is None else record.at_ms
        found = standing(record.reading, at_ms, framework=framework)
        files = {**bundle(found, taken.export, taken.entries), ROOT_FILE: taken.root}
        private_folder(out)
        for name, content in files.items():
            write_private(out / name, content)
        told = {"out": str(out), "files": sorted(files), "entries": found.size}
        if output == "json":
            show_json(told | {"expires_ms": found.expires_ms})
            return
        talk.print(
            f"{safe(out)}: {counted(len(files), 'file')}, {found.size} entries of the record, "
            "evidence "
            f"until {day(found.expires_ms)}",
            soft_wrap=True,
        )
        talk.print("who has Framegate's sources works all of it out anew, with none of its code")
        talk.print(f"next: python3 scripts/assess_check.py {typed(out)}", soft_wrap=True)


@app.command("state")
@write
def state(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Statements as TOML.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Say what only you know, with an end: about a function that the record does not show, a claim,
    or a framework that does not apply. Signed with the key of your session, kept in the record.
    """
    with errors():
        operator = load_context(context)
        text = _text(file)
        parse_said(text, sayable(), time.time_ns() // 1_000_000)
        envelope = signed_statement(operator, text)
        with operator_stub(operator) as stub:
            reply = stub.StatePosture(pb.StatePostureRequest(envelope=envelope))
        if output == "json":
            told = {"entry": reply.index, "about": list(reply.about)}
            show_json(told | {"expires_ms": reply.expires_ms})
            return
        talk.print(
            f"entry {reply.index}: {safe(', '.join(reply.about))}; until "
            f"{day(reply.expires_ms)[:10]} at most",
            soft_wrap=True,
        )


@app.command("statements")
@read
def statements(
    export: Export = None, root: Root = None, output: Output = "table", context: Context = None
) -> None:
    """What people said that holds now, who said it, until when."""
    with errors():
        record = read_record(context, export, root)
        rows = View(record.reading, record.at_ms).rows(STATED)
        said = said_in(rows, sayable(), record.at_ms)
        if output == "json":
            show_json(
                [
                    {"about": s.about, "says": s.says, "because": s.because, "by": s.by}
                    | {"expires_ms": s.expires_ms, "entry": s.index}
                    for s in said.values()
                ]
            )
            return
        cells = [
            (s.about, s.says, s.by, day(s.expires_ms)[:10], s.index, s.because)
            for s in said.values()
        ]
        empty = "nobody said anything that holds now; next: framegate compliance example"
        show_table(("about", "says", "by", "until", "entry", "because"), cells, empty=empty)


@app.command("example")
def example() -> None:
    """Statements to begin with, to be changed and signed."""
    show_text(EXAMPLE, end="")


def signed_statement(operator: OperatorContext, text: str) -> bytes:
    """`text` in an envelope, signed with the key of the session."""
    key = private_key(operator.key, "this session")
    certificate = certificates(operator.certificate, "this session")[0]
    said = PostureStatement(
        text=text, operator=operator.operator, signed_at_ms=time.time_ns() // 1_000_000
    )
    return said.seal(
        certificate.public_bytes(Encoding.DER), lambda b: key.sign(b, ec.ECDSA(hashes.SHA256()))
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        seen = type(error).__name__
        raise Malformed.of(Reason.USAGE, f"statements as TOML in {file}", seen) from error


def _framework(name: str, words: str) -> dict[str, Any]:
    known = frameworks()[name]
    return {
        "framework": name,
        "title": known.title,
        "version": known.version,
        "mapping": known.mapping,
        "source": known.source,
        "reviewed": known.reviewed,
        "reviewer": known.reviewer,
        "claims": len(known.claims),
        "are": words,
    }


_STYLES: Final = {"pass": "green", "fail": "red", "not-measured": "yellow", "not-applicable": "dim"}


def _tell(claimed: Claimed) -> None:
    claim, status = claimed.claim, claimed.status.value
    lines = [
        f"[bold]{safe(claim.control)}[/] {safe(claim.title)}: [{_STYLES[status]}]{status}[/]",
        f"  supported by: {safe(claim.supports)}",
    ]
    if claimed.said is not None:
        said = claimed.said
        end = day(said.expires_ms)[:10]
        lines.append(
            f"  {safe(said.by)} says so until {end} (entry {said.index}): {safe(said.because)}"
        )
    lines += [f"  {check_words(c)}" for c in claimed.checked]
    wanting = [c for c in claimed.checked if c.status.value in {"fail", "not-measured"}]
    lines += [f"  next: {command}" for command in dict.fromkeys(c.check.following for c in wanting)]
    lines.append(f"  you must still: {safe(claim.customer)}")
    for line in lines:
        data.print(line, soft_wrap=True, highlight=False)
