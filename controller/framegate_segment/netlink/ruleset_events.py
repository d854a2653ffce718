"""Who changes the packet filter: the kernel's events of it, transaction by transaction
(NFNLGRP_NFTABLES).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from framegate_segment.netlink.channel import Channel
from framegate_segment.netlink.codec import Message, attributes, text_of
from framegate_segment.netlink.set_elements import NFTABLES

GROUP: Final = 7
_NEW_GENERATION: Final = NFTABLES << 8 | 15
_PROCESS_NAME: Final = 3  # NFTA_GEN_PROC_NAME
_TABLE_NAME: Final = 1  # in messages of tables, chains, rules, sets, elements and objects alike
LOST: Final = "events that were too many"


@dataclass(frozen=True, slots=True)
class ForeignChange:
    """A transaction that was not ours and touched our tables; `by` is the program's name."""

    by: str


@dataclass(slots=True)
class RulesetEvents:
    """Watches `tables` (their names); `ours` says whether a port id is this enforcer's."""

    tables: frozenset[str]
    ours: Callable[[int], bool]
    channel: Channel = field(default_factory=lambda: Channel(GROUP))
    _touched: bool = False

    def read(self) -> list[ForeignChange]:
        """Foreign changes since. Where the kernel had to leave events out, that counts as one."""
        changes: list[ForeignChange] = []
        try:
            while events := self.channel.events():
                changes += self.follow(events)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            changes.append(ForeignChange(LOST))
        return changes

    def follow(self, events: Iterable[Message]) -> list[ForeignChange]:
        """What those messages come to. A transaction ends with the generation it makes."""
        changes: list[ForeignChange] = []
        for event in events:
            if event.kind >> 8 != NFTABLES:
                continue
            if event.kind != _NEW_GENERATION:
                name = text_of(attributes(event.body).get(_TABLE_NAME, b""))
                self._touched |= not self.ours(event.port_id) and name in self.tables
                continue
            if self._touched:
                by = text_of(attributes(event.body).get(_PROCESS_NAME, b""))
                changes.append(ForeignChange(by))
            self._touched = False
        return changes
