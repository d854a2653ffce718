"""What a machine is shown of a fleet's log of decisions, and what that establishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import (
    Purpose,
    from_ms,
    load_certificate,
    verify_certificate,
)
from framegate.transparency.cosignature import CosignedHead, Quorum, verify_cosigned
from framegate.transparency.decision import Named
from framegate.transparency.head import TreeHead, log_key, parse_head, parse_size
from framegate.transparency.note import parse_note
from framegate.transparency.proof import Inclusion, require_goes_on, verify_inclusion

OLDER_HINT = (
    "framegate-controller restore made another log, or this is an old copy: framegate log show"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAnswer:
    """A head with its cosignatures, the certificate of the log's key (DER), the proof that the head
    goes on from the one that was seen, and entries; nothing of it is verified.
    """

    note: bytes
    certificate: bytes
    growth: Sequence[bytes]
    inclusions: Sequence[Inclusion]


@dataclass(frozen=True, slots=True)
class FollowedLog:
    """A head that may be relied on, and decisions under it; made by `follow_log` only."""

    head: CosignedHead
    decided: frozenset[Named]


def follow_log(
    seen: TreeHead | None, answer: LogAnswer, root: x509.Certificate, quorum: Quorum, now_ms: int
) -> FollowedLog:
    """What `answer` establishes for who saw the head `seen`, None for none.

    1. the log's key is certified by the fleet's root for that purpose, and alive;
    2. the head is signed by it and cosigned, as `verify_cosigned` says;
    3. it is of the origin that was seen, or of a later one of the same log, after a restoration;
    4. under the same origin it goes on from the head that was seen (`require_goes_on`);
    5. each entry is under it (`verify_inclusion`).

    Raises Malformed or Refused (NOT_COSIGNED, LOG_FORKED, SIGNATURE, CERTIFICATE).
    """
    certificate = load_certificate(answer.certificate)
    key = verify_certificate(certificate, Purpose.LOG, (), root, from_ms(now_ms)).key  # 1
    claimed = parse_head(parse_note(answer.note).text)
    cosigned = verify_cosigned(
        answer.note, log_key(claimed.origin, key), quorum, now_ms // 1000
    )  # 2
    head = cosigned.head
    if seen is not None and seen.origin != head.origin:  # 3
        before, now = _numbered(seen.origin), _numbered(head.origin)
        if before[0] != now[0] or now[1] < before[1]:
            wanted = f"a head of {seen.origin} or a later one"
            raise Refused.of(Reason.LOG_FORKED, wanted, ascii(head.origin)[:80], OLDER_HINT)
    elif seen is not None:
        require_goes_on(seen, head, answer.growth)  # 4
    decided = [verify_inclusion(i, head).named for i in answer.inclusions]  # 5
    return FollowedLog(cosigned, frozenset(decided))


def _numbered(origin: str) -> tuple[str, int]:
    """A log's name, and after how many restorations it began. Raises Malformed."""
    name, slash, number = origin.rpartition("/")
    if not slash:
        wanted = "an origin with a number, log.FLEET.framegate/0"
        raise Malformed.of(Reason.NOT_COSIGNED, wanted, ascii(origin)[:80])
    return name, parse_size(number)
