"""What the controller and its join port say to each other, over a pair of sockets that nobody else
can open. Each record goes behind its 32-bit length.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from framegate.codec import Record, blob, blobs, text, u8, u32, u64
from framegate.errors import FramegateError, Reason, Refused
from framegate.evidence.challenge import MAX_STATE_BYTES, unknown_session
from framegate.wire import MAX_EVIDENCE_BYTES, MAX_TEXT

MAX_CALL_BYTES: Final = MAX_EVIDENCE_BYTES + 64 * 1024
MAX_ANSWER_BYTES: Final = 256 * 1024
MAX_KNOWN: Final = 200_000
"""Machines and open tickets of a fleet that a join port is told of."""
MAX_TO_PORT: Final = MAX_KNOWN * 64 + 64 * 1024
"""Bytes of any record to the port."""
MAX_TO_CONTROLLER: Final = MAX_CALL_BYTES + 4 * 1024
READY: Final = "ready"
OFFER: Final = "Join.Offer"
BEGIN: Final = "Join.Begin"
COMPLETE: Final = "Join.Complete"
REFUSALS: Final = "refusals"
BEAT: Final = "beat"
"""Names of what a port asks for; sign-in's calls have their own."""
_LABEL: Final = b"framegate/v1/join-token"


class PortSetup(Record):
    """All that a join port holds: the server's key and chain (PEM), the key of its tokens, and what
    it says of the fleet.
    """

    LABEL = "framegate/v1/join-setup"
    key: bytes = blob(8 * 1024)
    chain: bytes = blob(64 * 1024)
    token_key: bytes = blob(32, exactly=True)
    fleet: str = text(MAX_TEXT)
    oidc_issuer: str = text(4096)


class Known(Record):
    """Digests of the EKs of this fleet, and of tickets that are open, 32 bytes each: a hint about
    whose turn it is, on which nothing else is decided.
    """

    LABEL = "framegate/v1/join-known"
    eks: bytes = blob(MAX_KNOWN * 32)
    tickets: bytes = blob(MAX_KNOWN * 32)


class NextPair(Record):
    """The key and chain (PEM) that connections from here on are shown."""

    LABEL = "framegate/v1/join-pair"
    key: bytes = blob(8 * 1024)
    chain: bytes = blob(64 * 1024)


class PortCall(Record):
    """A call that a join port passes on: whose (gRPC's name without a port), and its message."""

    LABEL = "framegate/v1/join-call"
    number: int = u32()
    method: str = text(64)
    peer: str = text(MAX_TEXT)
    message: bytes = blob(MAX_CALL_BYTES)


class PortAnswer(Record):
    """What came of a call: a message, or gRPC's status by name with its details and failures."""

    LABEL = "framegate/v1/join-answer"
    number: int = u32()
    status: str = text(64)
    details: str = text(MAX_TEXT)
    failures: bytes = blob(MAX_ANSWER_BYTES)
    message: bytes = blob(MAX_ANSWER_BYTES)


class PassedEvidence(Record):
    """Evidence that came as it was promised."""

    LABEL = "framegate/v1/join-evidence"
    state: bytes = blob(MAX_STATE_BYTES)
    mac: bytes = blob(32, exactly=True)
    evidence: bytes = blob(MAX_EVIDENCE_BYTES)


class PortBeat(Record):
    """That the port's loop turns, and what it has to do: connections now, calls that are under way
    on them, and since its start calls that it passed on and connections for which nobody gave way.
    """

    LABEL = "framegate/v1/join-beat"
    connections: int = u32()
    calls: int = u32()
    passed: int = u64()
    turned_away: int = u64()


class RefusedStrangers(Record):
    """How often strangers of a prefix were refused for one reason."""

    LABEL = "framegate/v1/join-refused"
    reason: str = text(64)
    prefix: str = text(64)
    count: int = u64()


class RefusalReport(Record):
    """`RefusedStrangers` since the last one."""

    LABEL = "framegate/v1/join-refusals"
    refused: tuple[bytes, ...] = blobs(64, 256)
    version: int = u8()


class JoinToken(Record):
    """A challenge's sealed state on its way to a machine and back: that a join port of this fleet
    gave it out, and until when. Whoever holds `token_key` can say no more than that.
    """

    LABEL = "framegate/v1/join-token"
    state: bytes = blob(MAX_STATE_BYTES)
    expires_ms: int = u64()
    tag: bytes = blob(32, exactly=True)


def token_key(secret: bytes) -> bytes:
    """The key of a fleet's join ports, 32 bytes, out of a secret that its controllers share."""
    return HKDF(SHA256(), 32, None, _LABEL).derive(secret)


def seal_token(key: bytes, state: bytes, expires_ms: int) -> bytes:
    """`state` as this port hands it out."""
    return JoinToken(state=state, expires_ms=expires_ms, tag=_tag(key, state, expires_ms)).marshal()


def open_token(key: bytes, token: bytes, now_ms: int) -> JoinToken:
    """The token, after: 1. a join port of this fleet gave it out; 2. it is not too late.

    Raises Refused (SESSION_UNKNOWN, SESSION_EXPIRED).
    """
    try:
        parsed = JoinToken.parse(token)
    except FramegateError as error:
        raise unknown_session() from error
    if not hmac.compare_digest(_tag(key, parsed.state, parsed.expires_ms), parsed.tag):  # 1
        raise unknown_session()
    if parsed.expires_ms < now_ms:  # 2
        late = f"{(now_ms - parsed.expires_ms) / 1000:.0f} s late"
        raise Refused.of(
            Reason.SESSION_EXPIRED, "evidence before the challenge's deadline", late, "begin again"
        )
    return parsed


def _tag(key: bytes, state: bytes, expires_ms: int) -> bytes:
    return hmac.digest(key, _LABEL + b"\0" + expires_ms.to_bytes(8, "big") + state, "sha256")
