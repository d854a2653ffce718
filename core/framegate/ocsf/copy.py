"""A SIEM's copy of the record, verified: whether it has every entry, each as it was logged and each
event as the entry makes it, against signed heads of the record.

Nothing of the copy is believed: what each event says of itself is worked out anew from the entry
that it carries, and the entries have to be those that the heads were signed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent, OcsfVersion
from framegate.record.branches import logged_restoration, restorations_before
from framegate.record.verify import FORMAT, AuditRefused, LogAnchor, VerifiedLog, verify_log
from framegate.record.witness import head_line, parse_head

MAX_EVENT_BYTES: Final = 512 * 1024
"""Of one event: an entry's 64 KiB, escaped, twice."""


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """What a copy proves; made by `verify_copy` only.

    It has the entries `first` to `first + entries - 1`, each at least once; `again` are events
    beyond the first of each, `lost` those of entries that a restoration lost.
    """

    first: int
    entries: int
    again: int
    lost: int
    log: VerifiedLog


@dataclass(frozen=True, slots=True)
class TrustedHeads:
    """Signed heads of the record (envelopes), whom they have to be signed by, and of which fleet.

    `leading` are the entries before the copy's first, as they were logged: where a sink was added
    when there were some.
    """

    heads: Sequence[bytes]
    anchor: LogAnchor
    fleet: str
    leading: Sequence[bytes] = ()


def verify_copy(events: Iterable[Mapping[str, Any]], trusted: TrustedHeads) -> VerifiedCopy:
    """What a copy, in any order, proves.

    1. `event`: each is an event of ours that carries an entry of the record;
    2. `altered`: each member is what the entry makes it, whatever the SIEM added beside; events
       of one entry carry the same bytes;
    3. `missing`: between the first entry and the last that a head speaks of there is one of each;
    4. the entries are those that the heads were signed over: checks 1 to 8 of `verify_log`;
    5. `altered`: an entry is of the branch that its id says (of numbers that a restoration gave
       again, the last ones are the record's; the others were lost with a registry).

    Raises AuditRefused, whose `entry` is the first that is missing or altered.
    """
    read = _Read()
    for event in events:
        read.take(event, trusted.fleet)  # 1, 2
    first = len(trusted.leading)
    size = max((parse_head(h).size for h in trusted.heads), default=0)
    kept = read.newest()
    for index in range(first, max(size, max(kept, default=-1) + 1)):  # 3
        if index not in kept:
            raise AuditRefused("missing", index, f"expected entry {index}, the copy has none")
    entries = [kept[i] for i in sorted(kept) if i >= first]
    header = {"format": FORMAT, "fleet": trusted.fleet, "entries": first + len(entries)}
    lines = [
        json.dumps(header).encode(),
        *trusted.leading,
        *(e.raw for e in entries),
        *(head_line(h) for h in trusted.heads),
    ]
    log = verify_log(lines, trusted.anchor)  # 4
    _require_branches([*trusted.leading, *(e.raw for e in entries)], kept)  # 5
    lost = len(read.entries) - len(kept)
    return VerifiedCopy(first, len(entries), read.again, lost, log)


class _Read:
    """Events by the entry that they carry: index, and restorations before it."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int], LoggedEvent] = {}
        self.again = 0

    def take(self, event: Mapping[str, Any], fleet: str) -> None:
        """Checks 1 and 2 of one event."""
        logged, version = _logged(event, fleet)
        key = logged.index, logged.restorations
        known = self.entries.setdefault(key, logged)
        if known is not logged:
            self.again += 1
        if known.raw != logged.raw:
            raise AuditRefused("altered", logged.index, "the copy has two of it that differ")
        for name, value in ocsf_event(logged, version).items():
            if not _holds(value, event.get(name)):
                said = json.dumps(event.get(name))[:80]
                raise AuditRefused(
                    "altered", logged.index, f"its {name} is not what the entry says: {said!a}"
                )

    def newest(self) -> dict[int, LoggedEvent]:
        """Of each index the entry after the most restorations."""
        kept: dict[int, LoggedEvent] = {}
        for key in sorted(self.entries):
            kept[key[0]] = self.entries[key]
        return kept


def _logged(event: Mapping[str, Any], fleet: str) -> tuple[LoggedEvent, OcsfVersion]:
    """(the entry that an event carries, the version it is of). Raises AuditRefused."""
    try:
        metadata, raw = event["metadata"], event["raw_data"]
        uid, index = metadata["uid"], metadata["sequence"]
        version = OcsfVersion(metadata["version"])
        if type(uid) is not str or type(raw) is not str or type(index) is not int:
            raise TypeError("uid, sequence or raw_data")
    except (KeyError, TypeError, ValueError) as error:
        text = f"expected an event of this fleet's record, got {error!r:.60}"
        raise AuditRefused("event", -1, text) from error
    restorations = uid.removeprefix(f"{fleet}:{index}").removeprefix(":") or "0"
    try:
        number = int(restorations) if restorations.isascii() and restorations.isdecimal() else -1
        logged = LoggedEvent.parse(fleet, raw.encode(), number)
    except (FramegateError, UnicodeEncodeError) as error:
        raise AuditRefused(
            "altered", max(index, -1), f"its raw_data is no entry: {error}"
        ) from None
    if logged.uid != uid or logged.index != index:
        text = f"its id {uid[:80]!a} is not that of the entry it carries"
        raise AuditRefused("altered", min(max(index, 0), logged.index), text)
    return logged, version


def _holds(ours: Any, theirs: Any) -> bool:
    """Whether `theirs` says all that `ours` does; a SIEM may add members to objects."""
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(_holds(v, theirs.get(k)) for k, v in ours.items())
    if isinstance(ours, list):
        return (
            isinstance(theirs, list) and len(ours) == len(theirs) and all(map(_holds, ours, theirs))
        )
    return type(ours) is type(theirs) and bool(ours == theirs)


def _require_branches(raws: Sequence[bytes], kept: Mapping[int, LoggedEvent]) -> None:
    restored = []
    for index, raw in enumerate(raws):
        if b"registry-restored" in raw:
            try:
                restored += logged_restoration(index, json.loads(raw))
            except (ValueError, KeyError, TypeError) as error:
                raise AuditRefused("altered", index, "expected a restoration") from error
    for index in sorted(kept):
        number = restorations_before(index + 1, restored)
        if kept[index].restorations != number:
            text = (
                f"its id speaks of {kept[index].restorations} restorations, the record of {number}"
            )
            raise AuditRefused("altered", index, text)
