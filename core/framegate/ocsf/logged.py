"""An entry of the record as a mapping reads it: what was logged, and where it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from framegate.errors import Malformed, Reason
from framegate.record.entry import MAX_ENTRY_BYTES


class OcsfVersion(StrEnum):
    """The versions that are written: 1.8.0, and 1.9.0 with the profile `record_integrity`."""

    V1_8 = "1.8.0"
    V1_9 = "1.9.0"


EVENT: Final = "event"
"""The kind of entry that a declared event makes."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """Entry `index` of the record of `fleet`, parsed from its bytes `raw`.

    `restorations` is how many restorations from a backup came before it: of a number that was lost
    with a registry and given again there are two entries, and they differ in this.
    """

    fleet: str
    index: int
    restorations: int
    raw: bytes
    body: Mapping[str, Any]

    @classmethod
    def parse(cls, fleet: str, raw: bytes, restorations: int = 0) -> Self:
        """Raises Malformed for what is no entry."""
        if len(raw) > MAX_ENTRY_BYTES:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_ENTRY_BYTES} bytes", len(raw))
        try:
            body = json.loads(raw)
            index = body["index"]
            if type(index) is not int or index < 0 or type(body["at_ms"]) is not int:
                raise TypeError("index and at_ms")
            if type(body["kind"]) is not str or type(body["previous"]) is not str:
                raise TypeError("kind and previous")
            if type(body.get("members", {})) is not dict:
                raise TypeError("members")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Malformed.of(Reason.AUDIT, "an entry of the record", f"{error!r:.80}") from error
        return cls(fleet, index, restorations, raw, body)

    @property
    def uid(self) -> str:
        """What makes it one of a kind, wherever it is sent: `fleet:index`, and after a restoration
        its number behind that.
        """
        again = f":{self.restorations}" if self.restorations else ""
        return f"{self.fleet}:{self.index}{again}"

    @property
    def name(self) -> str:
        """The event's name; the entry's kind where it is none."""
        return str(self.body.get("event", "")) if self.kind == EVENT else self.kind

    @property
    def kind(self) -> str:
        """`event`, or what else the record keeps."""
        return str(self.body["kind"])

    @property
    def at_ms(self) -> int:
        """When it was logged, ms since the epoch."""
        return int(self.body["at_ms"])

    def text(self, name: str) -> str:
        """A text of the entry, empty where it has none."""
        value = self.body.get(name, "")
        return value if isinstance(value, str) else ""

    def member(self, name: str) -> str:
        """A typed member of the event as text, empty where it has none."""
        value = self.body.get("members", {}).get(name, "")
        return value if isinstance(value, str) else str(value)

    def many(self, name: str) -> tuple[str, ...]:
        """A typed member that is a list, as texts; empty where it has none."""
        value = self.body.get("members", {}).get(name, [])
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of the entry itself, as texts."""
        value = self.body.get(name, [])
        return tuple(map(str, value)) if isinstance(value, list) else ()
