"""The record as an assessment reads it: out of an export that is verified, or from the controller.

The commands that show where a fleet stands ask for nothing but the record, as auditors may: what
they say, anybody works out anew from an export.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.assessment.reading import Reading
from framegate.errors import Malformed, Reason, Refused
from framegate.record.verify import FORMAT, AuditRefused, load_anchor, verify_log
from framegate.record.witness import head_line
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.record_answers import entries_of, working_out
from framegate_proto.v1 import framegate_pb2 as pb

Export = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Of an export: framegate audit export."),
]
Root = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="With --export: the fleet's root certificate (PEM)."
    ),
]
_ROOT_NEXT_TO: Final = ".root.pem"


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: what facts are read from, and the time of its last entry or, where it
    came from the controller, of now.
    """

    reading: Reading
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An export as bytes, its entries, and the fleet's root certificate (PEM)."""

    export: bytes
    entries: tuple[bytes, ...]
    root: bytes
    fleet: str


def read_record(context: Path | None, export: Path | None, root: Path | None) -> Record:
    """The record of an export, verified, or of the fleet. Raises Malformed, Refused (AUDIT)."""
    if export is None:
        return _asked(context)
    taken = taken_from(export, root)
    return _record(taken)


def taken_from(export: Path, root: Path | None) -> Taken:
    """An export with its root certificate, by default the one that was written beside it.

    It holds by `verify_log`, and a signed head covers every entry. Raises Refused (AUDIT),
    Malformed (USAGE).
    """
    pem = root or export.with_name(export.name + _ROOT_NEXT_TO)
    if not pem.exists():
        hint = "framegate audit export writes FILE.root.pem; --root names another"
        raise Malformed.of(Reason.USAGE, f"the fleet's root certificate {pem}", "none", hint)
    return verified(export.read_bytes(), pem.read_bytes())


def verified(export: bytes, root: bytes) -> Taken:
    """See `taken_from`."""
    try:
        log = verify_log(iter(export.splitlines(keepends=True)), load_anchor(root), [])
    except AuditRefused as error:
        wanted, hint = "a record that holds", "framegate audit verify FILE --root FILE"
        raise Refused.of(Reason.AUDIT, wanted, ascii(str(error))[:200], hint) from error
    if log.signed < log.entries:
        came = f"{log.entries - log.signed} entries behind the last head"
        raise Refused.of(Reason.AUDIT, "a signed head over every entry", came)
    entries = tuple(_entries(export))
    return Taken(export=export, entries=entries, root=root, fleet=log.fleet)


def take_record(context: Path | None) -> Taken:
    """The fleet's whole record as an export, verified here. Raises Refused (AUDIT)."""
    operator = load_context(context)
    with operator_stub(operator) as stub:
        head = stub.LogHead(pb.LogHeadRequest(all=True))
        first = {"format": FORMAT, "fleet": head.fleet, "entries": head.size}
        rows = stub.ReadLog(pb.ReadLogRequest(limit=head.size), stream=True)
        entries = [row.entry for row in rows]
    heads = [head_line(e) for e in (*head.earlier, head.checkpoint)]
    export = b"".join(line + b"\n" for line in (json.dumps(first).encode(), *entries, *heads))
    return verified(export, operator.root)


def record_of(taken: Taken) -> Record:
    """What a verified export says, as of its last entry."""
    return _record(taken)


def _record(taken: Taken) -> Record:
    reading = Reading(taken.fleet)
    for entry in taken.entries:
        reading.read(json.loads(entry))
    return Record(reading, reading.end_ms)


def _asked(context: Path | None) -> Record:
    with operator_stub(load_context(context)) as stub:
        head = stub.LogHead(pb.LogHeadRequest())
        reading = Reading(head.fleet)
        rows = stub.ReadLog(pb.ReadLogRequest(limit=head.size), stream=True)
        with working_out():
            for entry in entries_of(rows):
                reading.read(entry)
    return Record(reading, now_ms(reading))


def now_ms(reading: Reading) -> int:
    """Now, by this machine's clock; never before what was recorded."""
    return max(reading.end_ms, time.time_ns() // 1_000_000)


def _entries(export: bytes) -> Iterator[bytes]:
    for line in export.splitlines():
        body: Mapping[str, Any] = json.loads(line)
        if "index" in body and "kind" in body:
            yield line
