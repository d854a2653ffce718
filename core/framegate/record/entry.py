"""Entries of the append-only log. Each names its index and the hash of the entry before it, so that an edit shows where it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from framegate.errors import Malformed, Reason

MAX_ENTRY_BYTES: Final = 64 * 1024
"""An event with a long detail is a few hundred bytes."""
NO_ENTRY: Final = "0" * 64
"""What stands for the entry before the first."""


def entry_bytes(index: int, previous: bytes | None, body: Mapping[str, Any]) -> bytes:
    """The bytes that are logged: canonical JSON of `body` with its place. One line, so that an export is a text file. Raises Malformed where it is too long."""
    raw = json.dumps({**body, "index": index, "previous": previous.hex() if previous else NO_ENTRY}, separators=(",", ":"), sort_keys=True).encode()
    if len(raw) > MAX_ENTRY_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a log entry of at most {MAX_ENTRY_BYTES} bytes", len(raw))
    return raw


def event_body(
    *, at_ms: int, event: str, actor: str, device: str = "", detail: str = "", before: str = "", after: str = "", source: str = "", approved_by: tuple[str, ...] = (),
    reason: str = "", verb: str = "", policies: tuple[str, ...] = (), policy: str = "", request: str = "",
) -> dict[str, Any]:  # fmt: skip
    """An event: who (`actor`), from where (`source`), on whose approval, why (`reason`), and by which policies; empty members are left out."""
    members = {
        "device": device, "detail": detail, "from": before, "to": after, "source": source, "approved_by": list(approved_by), "reason": reason, "verb": verb,
        "policies": list(policies), "policy": policy, "request": request,
    }  # fmt: skip
    return {"kind": "event", "at_ms": at_ms, "event": event, "actor": actor, **{k: v for k, v in members.items() if v}}
