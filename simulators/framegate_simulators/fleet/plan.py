"""How many machines do what, and how often: the shares of a fleet's life, as they are asked for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final, Self

from framegate.errors import Malformed, Reason
from framegate_simulators.fleet.processor_share import LEAST

JITTER: Final = 0.2
"""As agents spread their turns, so that a fleet whose machines waited together does not come in
waves for good.
"""
MOST: Final = 100
"""Percent: more than one processor one controller's Python does not use."""


class Act(StrEnum):
    """What a machine does when its time has come."""

    RENEW = "renewals"
    REBOOT = "reboots"
    UPDATE = "updates"
    TAMPER = "tampered"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Shares:
    """Percent of all turns; the rest are renewals. A machine that was tampered with stays so."""

    reboots: float = 1.0
    updates: float = 0.2
    tampered: float = 0.05
    late: float = 0.2

    @classmethod
    def parse(cls, text: str) -> Self:
        """`reboots=1,late=0.5`: what is left out is none. Raises Malformed (USAGE)."""
        names = {field.name for field in fields(cls)}
        given = dict.fromkeys(names, 0.0)
        try:
            for part in filter(None, text.split(",")):
                name, _, share = part.partition("=")
                if name not in names:
                    raise ValueError(name)
                given[name] = float(share)
            if min(given.values()) < 0 or not sum(given.values()) <= 100:
                raise ValueError("0 to 100 together")
        except ValueError as error:
            wanted = f"percents such as {','.join(f'{name}=1' for name in sorted(names))}"
            raise Malformed.of(
                Reason.USAGE, wanted, ascii(f"{text[:80]}: {error}"), "leave --shares out"
            ) from error
        return cls(**given)

    def draw(self, chance: random.Random) -> Act:
        """What a machine does at its turn."""
        at = 100 * chance.random()
        for act in (Act.REBOOT, Act.UPDATE, Act.TAMPER, Act.LATE):
            at -= getattr(self, act.value)
            if at < 0:
                return act
        return Act.RENEW


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: `devices` machines that attest every `interval_s`, for `seconds` after the last has
    joined. `keep`: each keeps its connection, as agents do. Several `controllers` need a
    `database`; `rolling`: each of them ends and is started again meanwhile. With `before`, a
    folder with an earlier version's source, that version founds the fleet, runs every controller
    until its restart, and is what machines speak. `share`: percent of one processor that each
    controller gets, 0 for whatever there is. `pressing`: each machine comes again as soon as it was
    answered, so that controllers do all that they can. `watching`: each has its watch open, as
    agents do, and hears heartbeats. `alone`: when they have lived, some of them attest
    with nothing beside them, which says what waiting was. `settling`: seconds that they live before
    what is counted begins, so that who waited while others joined is answered. `jitter`: of an
    interval, by which turns are spread around it. Raises Malformed (USAGE).
    """

    devices: int
    interval_s: float
    seconds: float
    workers: int
    seed: int
    keep: bool
    shares: Shares
    controllers: int = 1
    database: bool = False
    rolling: bool = False
    before: str = ""
    share: float = 0.0
    pressing: bool = False
    watching: bool = False
    alone: bool = False
    settling: float = 0.0
    jitter: float = JITTER

    def __post_init__(self) -> None:
        if self.controllers > 1 and not self.database:
            wanted = "a store that controllers share"
            raise Malformed.of(Reason.USAGE, wanted, "a file", "say --store postgres")
        if self.rolling and self.controllers == 1:
            wanted = "another controller to go over to"
            raise Malformed.of(Reason.USAGE, wanted, "one", "say --controllers 2")
        if self.before and not self.rolling:
            wanted = "controllers of before that are replaced"
            raise Malformed.of(Reason.USAGE, wanted, "none", "say --rolling")
        if self.share and not LEAST <= self.share <= MOST:
            wanted = f"{LEAST} to {MOST} percent of a processor for each controller"
            hint = "leave --controller-share out"
            raise Malformed.of(Reason.USAGE, wanted, f"{self.share:g}", hint)
        if self.pressing and self.rolling:
            wanted, hint = "machines that come by the clock", "leave --pressing out"
            raise Malformed.of(Reason.USAGE, wanted, "some that press, and --rolling", hint)

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """What `body` wrote, in another process of this run."""
        return cls(**{**body, "shares": Shares(**body["shares"])})
