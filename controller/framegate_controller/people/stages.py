"""The controller's word on how far a zone is enforced, for its lines."""

from __future__ import annotations

from typing import Final

from framegate.errors import FramegateError
from framegate.pilot.policy import stage_of
from framegate.pilot.word import StageWord
from framegate_controller.context import Fleet
from framegate_controller.people.policies import load_policy
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.policies import PolicyCache

SAID_EVERY_MS: Final = 10_000
"""A sixth of the shortest life that a pilot may have: a line that lost a few words goes on by the
last one.
"""
ENFORCED_S: Final = 60
"""How long the word stands that a zone is enforced, which it is without a word too."""


def stage_word(tx: Transaction, fleet: Fleet, policies: PolicyCache, zone: str) -> bytes:
    """The signed word on `zone` by the access policy in force; empty where that does not hold, and
    then lines enforce once the last word is over. A pilot's word never outlives the pilot.
    """
    try:
        policy = load_policy(tx, fleet.keys, policies)
    except FramegateError:
        return b""
    now = tx.now_ms
    stage, pilot = stage_of(policy.pilots, zone, now), policy.pilots.get(zone)
    ends = now + ENFORCED_S * 1000
    if pilot is not None and not stage.diverts:
        ends = min(now + pilot.life_s * 1000, pilot.until_ms)
    signer = fleet.keys.signing["grant"]
    word = StageWord(
        zone=zone,
        stage=stage.value,
        version=policy.version,
        policy=policy.label,
        issued_at_ms=now,
        valid_until_ms=ends,
    )
    return word.seal(signer.der, signer.sign)


class StageTurn:
    """When one feed is told the word again. `now_ms` never goes by a listener's clock."""

    def __init__(self) -> None:
        self._said_ms: int | None = None

    def due(self, now_ms: int, *, changed: bool = False) -> bool:
        """Whether it is, at the latest `SAID_EVERY_MS` after the last time; a clock that was set
        back is no reason to wait longer.
        """
        waited = now_ms - self._said_ms if self._said_ms is not None else SAID_EVERY_MS
        if not changed and 0 <= waited < SAID_EVERY_MS:
            return False
        self._said_ms = now_ms
        return True
