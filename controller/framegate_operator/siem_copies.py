"""What SIEMs export, as the events that were sent to them: each has a wrapping of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.ocsf.copy import MAX_EVENT_BYTES

WRAPPINGS: Final = (
    "_source",
    "result",
    "event",
    "_raw",
    "body",
    "stringValue",
    "msg",
    "message",
    "MESSAGE",
)
"""Members that hold the event, or what holds it: Elastic's, Splunk's, a collector's, rsyslog's and
syslog-ng's lines of JSON.
"""
_DEPTH: Final = 4
_MARK: Final = b"\xef\xbb\xbf"
"""RFC 5424 begins a message in UTF-8 with it; collectors keep it, or write `<feff>`, or nothing."""


def read_copies(paths: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    """Every event in these files, a line each, in their order. Raises Malformed, with file and
    line, for what holds none.
    """
    for path in paths:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_EVENT_BYTES + 1):
                number += 1
                if len(line) > MAX_EVENT_BYTES:
                    wanted = f"lines of at most {MAX_EVENT_BYTES} bytes"
                    raise Malformed.of(Reason.TOO_LARGE, wanted, f"line {number} of {path}")
                if line.strip():
                    yield from _events(line, f"line {number} of {path}")


def _events(line: bytes, where: str) -> Iterator[Mapping[str, Any]]:
    start = min((at for at in (line.find(b"{"), line.find(b"[{")) if at >= 0), default=-1)
    try:
        value = json.loads(line[start:].replace(_MARK, b"")) if start >= 0 else None
        for item in value if isinstance(value, list) else [value]:
            yield event_in(item)
    except (ValueError, TypeError, RecursionError) as error:
        wanted, hint = f"an event in {where}", "a JSON export, one event a line"
        raise Malformed.of(Reason.MALFORMED, wanted, f"{error!r:.80}", hint) from error


def event_in(value: Any) -> Mapping[str, Any]:
    """The event of ours in a SIEM's wrapping, or in a text. Raises TypeError, ValueError."""
    for _ in range(_DEPTH):
        if isinstance(value, str):
            value = json.loads(value[max(value.find("{"), 0) :])
        if not isinstance(value, dict):
            break
        if "raw_data" in value:
            return value
        value = next((value[name] for name in WRAPPINGS if name in value), None)
    raise TypeError("no event of ours")
