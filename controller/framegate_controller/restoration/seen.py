"""What others saw of a controller's registry: witnesses' heads, gateways' and machines' memories,
exports of the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from framegate.errors import Malformed, Reason, Refused
from framegate.machines.lifecycle import State
from framegate.record.verify import FORMAT, AuditRefused, LogAnchor, verify_log
from framegate.record.witness import MAX_LINE_BYTES
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.witness import verified, witnessed
from framegate_host.witness_file import newest_heads

MOST_HEADS: Final = 2_000
"""The newest heads of a file that are looked at: where a copy parted from the record is among
them, and each costs some look-ups.
"""
MAX_REVISION_BYTES: Final = 32
"""A gateway's file of the highest revision holds one number."""
HELD: Final = frozenset({State.QUARANTINED, State.RETIRED, State.SUSPECT})
"""Where a machine stood that must not come back trusted because that was forgotten."""
_PEOPLE: Final = frozenset({"operator-enabled", "operator-disabled"})
Entries = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The most that was seen: entries of the record, restorations that its heads tell of, when the
    latest was signed (ms), and the trust revision; 0 where nothing was. `exported` are those
    entries of exports that moved a machine or barred a person, by their index; `heads` are heads
    that were kept elsewhere.
    """

    size: int = 0
    restorations: int = 0
    at_ms: int = 0
    revision: int = 0
    exported: Entries = field(default_factory=dict)
    heads: tuple[Checkpoint, ...] = ()

    def held(self, kept: int) -> dict[str, str]:
        """Machines that the exported entries from `kept` on left in a state of `HELD`, with it."""
        states = {
            str(e["device"]): str(e["to"])
            for index, e in sorted(self.exported.items())
            if index >= kept and e.get("device") and e.get("to")
        }
        return {device: state for device, state in states.items() if state in HELD}

    def barred(self, kept: int) -> list[str]:
        """Operators whom the exported entries from `kept` on left disabled."""
        last: dict[str, str] = {}
        for index, entry in sorted(self.exported.items()):
            if index >= kept and entry.get("event") in _PEOPLE:
                last[str(entry["members"]["operator"])] = str(entry["event"])
        return sorted(name for name, event in last.items() if event == "operator-disabled")


def read_seen(paths: Iterable[Path], keys: FleetKeys, own: Iterable[Path] = ()) -> Seen:
    """The most that `paths` say: each a file of heads (a witness's, or `record-head` of a gateway
    or a machine), a gateway's `feed-revision`, or an export of the record.

    `own` are files that lay in the controller's folder itself: a copy that went on has written into
    them, so their heads are no word of others'. Heads and exports are verified: they are of the
    fleet whose `keys` these are. Raises Refused (AUDIT), Malformed.
    """
    seen = Seen()
    elsewhere = [_read(path, keys) for path in paths]
    for one in (*elsewhere, *(replace(_read(path, keys), heads=()) for path in own)):
        seen = Seen(
            max(seen.size, one.size),
            max(seen.restorations, one.restorations),
            max(seen.at_ms, one.at_ms),
            max(seen.revision, one.revision),
            {**seen.exported, **one.exported},
            (*seen.heads, *one.heads),
        )
    return seen


def _read(path: Path, keys: FleetKeys) -> Seen:
    with path.open("rb") as file:
        first = file.readline(MAX_LINE_BYTES)
    if len(first) <= MAX_REVISION_BYTES and first.strip().isdigit():
        return Seen(revision=int(first))
    if FORMAT.encode() in first:
        return _exported(path, keys)
    head = witnessed(path, keys)
    if head is None:
        wanted = "heads of the record, a revision, or an export"
        raise Malformed.of(Reason.AUDIT, f"{wanted} in {path}", "an empty file")
    heads = [verified(e, path, keys) for e in newest_heads(path, MOST_HEADS)]
    return Seen(head.size, head.restorations, head.at_ms, heads=tuple(heads))


def _exported(path: Path, keys: FleetKeys) -> Seen:
    try:
        with path.open("rb") as file:
            log = verify_log(file, LogAnchor(root=keys.root.certificate))
    except AuditRefused as error:
        raise Refused.of(Reason.AUDIT, f"an export of this fleet in {path}", error) from error
    if log.fleet != keys.fleet:
        raise Refused.of(Reason.AUDIT, f"an export of fleet {keys.fleet}", log.fleet)
    entries: dict[int, Mapping[str, Any]] = {}
    with path.open("rb") as file:
        for line in file:
            body = json.loads(line)
            if body.get("to") or body.get("event") in _PEOPLE:
                entries[int(body["index"])] = body
    return Seen(log.entries, log.restorations, log.head_at_ms, 0, entries)
