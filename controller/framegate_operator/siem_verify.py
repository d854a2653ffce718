"""`framegate siem verify`: whether a SIEM's copy of the record is whole, from files that were taken
out of it, or read back by its own interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason, Refused
from framegate.ocsf.copy import TrustedHeads, VerifiedCopy, verify_copy
from framegate.record.verify import AuditRefused, LogAnchor
from framegate.record.witness import parse_head
from framegate.registry.sink import SinkKind
from framegate_host.collector_folder import CollectorFolder
from framegate_host.console import EXIT_UNTRUSTED, safe, show_json, talk
from framegate_host.witness_file import read_heads
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output
from framegate_operator.output import errors
from framegate_operator.siem_copies import read_copies
from framegate_operator.siem_reading import CopySource, ReadBack
from framegate_proto.v1 import framegate_pb2 as pb


def verify(  # noqa: PLR0913 - a command's options
    copies: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="What the SIEM exported: lines of JSON, or syslog lines; several go together.",
        ),
    ] = None,
    sink: Annotated[
        str, typer.Option(help="Read it back from this sink: elastic, hec (Splunk), kafka.")
    ] = "",
    address: Annotated[
        str,
        typer.Option(
            "--from", help="Where to read, if not where the sink writes: Splunk's management port."
        ),
    ] = "",
    credentials: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder with ca.pem, client.pem, token: a reader's, on this machine.",
        ),
    ] = None,
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            "--witness", exists=True, dir_okay=False, help="Heads that somebody kept elsewhere."
        ),
    ] = None,
    first: Annotated[
        int, typer.Option("--first", min=0, help="The copy's first entry; with --sink: the sink's.")
    ] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Hold a SIEM's copy against the record's signed head: names the first entry that is missing
    or altered. Exit code 6 where one is.
    """
    with errors():
        operator = load_context(context)
        if bool(copies) == bool(sink):
            raise Malformed.of(Reason.USAGE, "files, or --sink NAME", "both" if sink else "neither")
        with operator_stub(operator) as stub:
            head = stub.LogHead(pb.LogHeadRequest(all=True))
            row = one_of(stub.ListSinks(pb.ListRequest()).sinks, sink) if sink else None
            begin = first or (row.first if row is not None else 0)
            asked = pb.ReadLogRequest(limit=begin)
            leading = [r.entry for r in stub.ReadLog(asked, stream=True)] if begin else []
        signed = [*head.earlier, head.checkpoint]
        events: Iterable[Mapping[str, Any]] = read_copies(copies or ())
        back = None
        if row is not None:
            signed = _as_far_as(signed, row.confirmed)
            back = ReadBack(_source(row, address, credentials), head.fleet, head.size)
            events = back.events()
        kept = [e for path in heads or () for e in read_heads(path)]
        trusted = TrustedHeads(
            heads=[*signed, *kept],
            anchor=LogAnchor(root=operator.root_certificate),
            fleet=head.fleet,
            leading=leading,
        )
        try:
            done = verify_copy(events, trusted)
        except AuditRefused as error:
            _tell_refused(error, output, sink)
            raise typer.Exit(EXIT_UNTRUSTED) from error
        _tell_verified(done, output, back.others if back is not None else 0)


def one_of(rows: Any, name: str) -> Any:
    """The sink of that name. Raises Refused (NOT_FOUND)."""
    for row in rows:
        if row.name == name:
            return row
    raise Refused.of(Reason.NOT_FOUND, "a sink of this fleet", name, "framegate siem list")


def _as_far_as(heads: Sequence[bytes], confirmed: int) -> list[bytes]:
    """Heads of what the sink has confirmed: what waits for it is not missing there. All of them
    where none is so old; and those that cannot be read, whoever verifies says why.
    """
    reached = []
    for head in heads:
        with suppress(Malformed):
            if parse_head(head).size > confirmed:
                continue
        reached.append(head)
    return reached or list(heads)


def _source(row: pb.SinkRow, address: str, credentials: Path | None) -> CopySource:
    kind = SinkKind(row.kind)
    if kind == SinkKind.HEC and not address:
        hint = "--from https://splunk.example.net:8089"
        raise Malformed.of(Reason.USAGE, "Splunk's management port", "none", hint)
    return CopySource(
        kind=kind,
        address=address or row.address,
        channel=row.channel,
        credentials=CollectorFolder(credentials),
    )


def _tell_refused(error: AuditRefused, output: str, sink: str) -> None:
    if output == "json":
        entry = error.entry if error.entry >= 0 else None
        show_json({"verified": False, "check": error.check, "entry": entry, "text": str(error)})
        return
    talk.print(f"[red]REFUSED[/] {safe(error)}", soft_wrap=True)
    if error.check == "missing" and not sink:
        talk.print("next: framegate siem status says how far the sink is")
    elif error.entry >= 0:
        talk.print(f"next: framegate audit show {error.entry} shows the entry and its proof")


def _tell_verified(done: VerifiedCopy, output: str, others: int) -> None:
    if output == "json":
        show_json({"verified": True, **asdict(done), "others": others})
        return
    last = done.first + done.entries - 1
    talk.print(
        f"[green]verified[/]: entries {done.first} to {last} of fleet {safe(done.log.fleet)} are"
        f" there and unaltered, signed up to entry {done.log.signed}"
    )
    if done.again:
        talk.print(f"{done.again} of them came more than once")
    if done.lost:
        talk.print(f"[yellow]{done.lost} more were lost with a registry that was restored[/]")
    if others:
        talk.print(f"{others} beside them are no events of this fleet's record")
