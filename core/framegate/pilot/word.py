"""The controller's word on how far a zone is enforced, as lines act on it. A line that has none in
force enforces; so whoever keeps the word back, or repeats an old one, opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.pilot.policy import MAX_LIFE_S, Stage
from framegate.signed.statement import CLOCK_SLACK_MS, Statement

STAGES_TOPIC: Final = "framegate/v1/stages/{gateway}"
"""Where a gateway passes it on to the lines on its broker; `+` for `gateway` is every gateway's."""
MAX_WORD_BYTES: Final = 16 * 1024
"""Seven members and a certificate."""
_STAGES: Final = frozenset(Stage)


@dataclass(frozen=True, slots=True)
class StageWord(Statement):
    """How far `zone` is enforced by version `version` of the access policy, until `valid_until_ms`
    and no longer.
    """

    zone: str
    stage: str
    version: int
    policy: str
    issued_at_ms: int
    valid_until_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.stage+json"
    PURPOSE: ClassVar[Purpose] = Purpose.GRANT


def verify_stage_word(
    data: bytes,
    zone: str,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> StageWord:
    """The controller's word on `zone`, in force at `now`.

    1. to 4. as `Statement.verify`: a controller's key for such permissions signed it, no gateway's,
       line's or machine's; 5. it is of this zone, and a known stage; 6. it was issued in the past,
       lives at most `MAX_LIFE_S` and has not run out. That its policy is not older than one that
       was seen the caller MUST check. Raises Malformed or Refused (PILOT).
    """
    word, _ = StageWord.verify(data, intermediates, root, now)
    if word.zone != zone or word.stage not in _STAGES or word.version < 1:  # 5
        seen = f"{word.stage!a} for {word.zone!a}, policy {word.version}"
        raise Refused.of(Reason.PILOT, f"a stage of zone {zone}", seen[:120])
    now_ms = int(now.timestamp() * 1000)
    life = word.valid_until_ms - word.issued_at_ms
    if (
        not 0 < life <= MAX_LIFE_S * 1000
        or now_ms > word.valid_until_ms
        or word.issued_at_ms > now_ms + CLOCK_SLACK_MS
    ):  # 6
        seen = f"valid until {word.valid_until_ms}, now {now_ms}"
        raise Refused.of(Reason.PILOT, "a stage of now", seen)
    return word
