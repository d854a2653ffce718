"""Entries of the append-only log. Each names its index and the hash of the entry before it, so that
an edit shows where it was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.record.event import MAX_DETAIL, Event

MAX_ENTRY_BYTES: Final = 64 * 1024
"""An event with a long detail is a few hundred bytes."""
NO_ENTRY: Final = "0" * 64
"""What stands for the entry before the first."""


def entry_bytes(index: int, previous: bytes | None, body: Mapping[str, Any]) -> bytes:
    """The bytes that are logged: canonical JSON of `body` with its place. One line, so that an
    export is a text file. Raises Malformed where it is too long.
    """
    raw = json.dumps(
        {**body, "index": index, "previous": previous.hex() if previous else NO_ENTRY},
        separators=(",", ":"),
        sort_keys=True,
    ).encode()
    if len(raw) > MAX_ENTRY_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a log entry of at most {MAX_ENTRY_BYTES} bytes", len(raw)
        )
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who acts: whose verb was allowed, from where, on whose approval, why, by which policies.
    Events by `actor` carry it.
    """

    actor: str
    source: str = ""
    approved_by: tuple[str, ...] = ()
    reason: str = ""
    verb: str = ""
    policies: tuple[str, ...] = ()
    policy: str = ""
    request: str = ""


def event_entry(event: Event, act: Act, at_ms: int) -> dict[str, Any]:
    """The body of `event` by `act`; empty members are left out. `members` are the typed ones that
    `detail` tells of in words.
    """
    before, after = event.states
    told = {
        "device": event.device,
        "detail": event.detail[:MAX_DETAIL],
        "from": before,
        "to": after,
        "members": event.members(),
        "source": act.source,
        "approved_by": list(act.approved_by),
        "reason": act.reason,
        "verb": act.verb,
        "policies": list(act.policies),
        "policy": act.policy,
        "request": act.request,
    }
    return {
        "kind": "event",
        "at_ms": at_ms,
        "event": event.name,
        "actor": act.actor,
        **{k: v for k, v in told.items() if v},
    }
