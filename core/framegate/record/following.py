"""Follow a controller's record from the head that was last seen to the one it shows now.

Gateways, machines and witnesses remember one head each. A record that grew is followed by a
consistency proof; one that was restored from a backup by its signed restorations; one that is a
silent copy of an old folder is refused, with the command that makes it good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from framegate.errors import Malformed, Reason, Refused
from framegate.record.branches import LostEntries
from framegate.record.verify import (
    AuditRefused,
    LogAnchor,
    consistent,
    verify_head,
    verify_signed,
)
from framegate.signed.receipt import Checkpoint
from framegate.signed.restoration import Restoration

RESTORE: Final = (
    "on the controller's host, with every witness: framegate-controller restore --seen FILE"
)
"""The command for a controller that is older than what was seen of it."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a controller says that its record stands; nothing of it is verified.

    `checkpoint` is a signed head; `restorations` are the envelopes of those that who asks has not
    seen; `growth` leads from what is left of what they have seen (`common`) to the head.
    """

    checkpoint: bytes
    growth: tuple[bytes, ...]
    restorations: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FollowedHead:
    """A head that goes on from what was seen before; made by `follow_log_head` only.

    `restored` are the restorations between the two; `lost` are entries that were seen once, and
    have others, or none, in their place.
    """

    head: Checkpoint
    envelope: bytes
    restored: tuple[Restoration, ...] = ()
    lost: LostEntries | None = None


def common(size: int, restored: Sequence[Restoration]) -> int:
    """How many of the first `size` entries are left after `restored`, the restorations since."""
    return min([size, *(r.kept for r in restored)])


def follow_log_head(
    seen: bytes | None, position: LogPosition, anchor: LogAnchor, fleet: str = ""
) -> FollowedHead:
    """The controller's head, held against the last one seen there (`seen`, its envelope).

    1. both are signed by the log's key of the fleet whose root is trusted, and of `fleet` where one
       is named;
    2. there were not fewer restorations than at the head seen: that would be an older copy;
    3. the restorations since are signed, in order up to the one that the head tells of, and each is
       later than the head that was seen: otherwise two controllers with this fleet's keys are at
       work. Numbers may be left out: of restorations that a later one took back;
    4. the head is not smaller than what is left of the one seen, which it grew out of: an older
       copy has not the entries, and one that went on by itself has others.

    Raises Refused (CONTROLLER_BEHIND), and (AUDIT) for signatures that do not hold; Malformed.
    """
    head = _head(position.checkpoint, anchor, fleet)  # 1
    if seen is None:
        return FollowedHead(head, position.checkpoint)
    before = _head(seen, anchor, fleet)
    restored = tuple(verify_restoration(e, anchor, head.fleet) for e in position.restorations)
    left = require_follows(before, head, restored, position.growth)  # 2, 3, 4
    if left == before.size:
        return FollowedHead(head, position.checkpoint, restored)
    lost = LostEntries(left, before.size - 1, restored[0].at_ms)
    return FollowedHead(head, position.checkpoint, restored, lost)


def follow_witnessed(seen: bytes | None, position: LogPosition, anchor: LogAnchor) -> FollowedHead:
    """The same for a witness, who asks more than who only has to know that an old copy is none.

    5. the restorations own up to all that the witness saw: the largest record that one of them
       speaks of is not smaller than that. Raises as `follow_log_head`.
    """
    followed = follow_log_head(seen, position, anchor)
    owned = max((r.seen for r in followed.restored), default=0)
    if followed.lost is not None and followed.lost.last >= owned:  # 5
        _behind(
            f"a restoration after {followed.lost.last + 1} entries, as were witnessed",
            f"one after {owned}",
        )
    return followed


def require_follows(
    before: Checkpoint,
    head: Checkpoint,
    restored: Sequence[Restoration],
    growth: Sequence[bytes],
) -> int:
    """Checks 2 to 4 of `follow_log_head`, of values whose signatures the caller MUST have verified:
    how many entries under `before` are left under `head`.

    Raises Refused (CONTROLLER_BEHIND).
    """
    if head.restorations < before.restorations:  # 2
        _behind(f"a record restored {before.restorations} times", f"{head.restorations} times")
    _require_all(before, head, restored)  # 3
    left = common(before.size, restored)
    if head.size < left:  # 4
        _behind(f"a record of at least {left} entries", f"{head.size}")
    root = before.root if left == before.size else _root_at(left, restored)
    if not consistent(left, _digest(root), head.size, _digest(head.root), growth):
        _behind(f"the record of {left} entries that was seen, grown", "another record")
    return left


def verify_restoration(envelope: bytes, anchor: LogAnchor, fleet: str = "") -> Restoration:
    """A restoration, signed by the log's key while that lived, of `fleet` where one is named.

    Raises Refused (AUDIT), Malformed.
    """
    try:
        restoration = verify_signed(envelope, Restoration, anchor)
    except AuditRefused as error:
        raise Refused.of(Reason.AUDIT, "a restoration by the log's key", error, RESTORE) from error
    if fleet and restoration.fleet != fleet:
        wanted = f"a restoration of fleet {fleet}"
        raise Refused.of(Reason.AUDIT, wanted, ascii(restoration.fleet)[:60])
    return restoration


def _require_all(before: Checkpoint, head: Checkpoint, restored: Sequence[Restoration]) -> None:
    numbers = [before.restorations, *(r.number for r in restored)]
    if numbers != sorted(set(numbers)) or numbers[-1] != head.restorations:
        wanted = f"restorations after {before.restorations}, up to {head.restorations}"
        _behind(wanted, f"restorations {numbers[1:]}")
    times = [before.at_ms, *(r.at_ms for r in restored)]
    if times != sorted(times):
        raise Refused.of(
            Reason.CONTROLLER_BEHIND,
            "a restoration after everything that was seen",
            f"one of {restored[0].at_ms}, and a head signed at {before.at_ms}",
            f"stop the other controller that has this fleet's keys; then {RESTORE}",
        )


def _root_at(size: int, restored: Sequence[Restoration]) -> str:
    return next(r.kept_root for r in restored if r.kept == size)


def _head(envelope: bytes, anchor: LogAnchor, fleet: str) -> Checkpoint:
    try:
        return verify_head(envelope, anchor, fleet)
    except AuditRefused as error:
        raise Refused.of(Reason.AUDIT, "a head by this fleet's log key", error, RESTORE) from error


def _digest(root: str) -> bytes:
    try:
        return bytes.fromhex(root)
    except ValueError as error:
        raise Malformed.of(Reason.AUDIT, "a root in hexadecimal", ascii(root)[:40]) from error


def _behind(expected: str, actual: str) -> NoReturn:
    raise Refused.of(
        Reason.CONTROLLER_BEHIND,
        expected,
        f"{actual}: this controller is older than what was seen of it",
        RESTORE,
    )


def restorations_json(envelopes: Sequence[bytes]) -> str:
    """Envelopes of restorations as one text, for a registry's single value."""
    return json.dumps([e.decode() for e in envelopes])


def parse_restorations_json(text: str) -> list[bytes]:
    """What `restorations_json` wrote, nothing verified. Raises Malformed."""
    try:
        rows = json.loads(text or "[]")
        return [row.encode() for row in rows]
    except (ValueError, TypeError, AttributeError) as error:
        raise Malformed.of(Reason.AUDIT, "a list of restorations", type(error).__name__) from error
