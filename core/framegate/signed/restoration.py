"""Restorations: that a controller's registry began again from a backup, signed and counted.

The record of a restored registry is another one from `kept` entries on. A head of the record says
how many restorations there were before it: so a silent copy of an old folder, which has no new one
to show, is told from a restored registry.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import Purpose
from framegate.signed.statement import Statement

MAX_RESTORATIONS: Final = 1_000
"""A fleet that is restored every day for years has fewer."""
REVISION_STEP: Final = 2**32
"""What a restoration adds to the revisions of trust and firmware: each change adds one, so nobody
can have seen a revision that far past a backup's.
"""
MOST_LEAP: Final = (MAX_RESTORATIONS + 1) * REVISION_STEP
"""How far a revision that somebody was told can be past a backup's, however often the fleet was
restored since.
"""
VERSION_STEP: Final = 1_000_000
"""The same for the versions of policies, pins, masks and parts, which people set one by one."""
_ROOT_DIGITS: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Restoration(Statement):
    """The `number`th time that the registry of `fleet` began again from a backup.

    Of the record that was seen before, the first `kept` entries are left, whose root is
    `kept_root`; `seen` is the largest size that anybody has shown, at least `kept`. Revisions go on
    from `revision`.
    """

    fleet: str
    number: int
    kept: int
    kept_root: str
    seen: int
    revision: int
    at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.restoration+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LOG

    @classmethod
    def parse_payload(cls, payload: bytes) -> Self:
        """See `Statement.parse_payload`; numbers and sizes are what they can be."""
        parsed = super(Restoration, cls).parse_payload(payload)
        good = (
            0 < parsed.number <= MAX_RESTORATIONS
            and 0 < parsed.kept <= parsed.seen
            and len(parsed.kept_root) == _ROOT_DIGITS
            and set(parsed.kept_root) <= _HEX
        )
        if not good:
            raise Malformed.of(
                Reason.ENVELOPE, "a restoration of 1 or more entries", asdict(parsed)
            )
        return parsed
