"""Entries of the record of some kinds, read once and then only as far as it grew."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from framegate_console.calls import Calls
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ENTRIES: Final = 20_000
"""Entries of one kind that are kept, the newest: the command line reads more."""
Entry = Mapping[str, Any]


class RecordReading:
    """For one session, which sees what its own right opens. `cut` says that older ones were left
    out.
    """

    def __init__(self, calls: Calls, since_ms: int) -> None:
        self._calls, self._since_ms = calls, since_ms
        self._entries: dict[str, deque[Entry]] = {}
        self._next: dict[str, int] = {}
        self.cut = False

    async def of(self, kinds: Iterable[str], since_ms: int) -> dict[str, list[Entry]]:
        """Entries of each kind since then, the newest first. Raises as calls do."""
        for kind in kinds:
            await self._read(kind)
        return {
            kind: [e for e in entries if e.get("at_ms", since_ms) >= since_ms]
            for kind, entries in self._entries.items()
        }

    async def _read(self, kind: str) -> None:
        kept = self._entries.setdefault(kind, deque(maxlen=MAX_ENTRIES))
        request = pb.ReadLogRequest(
            event=kind,
            limit=MAX_ENTRIES,
            since_ms=self._since_ms,
            newest_first=True,
            first=self._next.get(kind, 0),
        )
        rows = await self._calls.operator_rows("ReadLog", request, MAX_ENTRIES)
        if rows:
            self._next[kind] = rows[0].index + 1
        self.cut |= len(rows) + len(kept) >= MAX_ENTRIES
        # the newest stand first; what is past the room falls off the other end
        kept.extendleft(json.loads(row.entry) for row in reversed(rows))
