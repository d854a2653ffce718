"""What a controller has to remember of a challenge, sealed so that it can travel with it: no row
waits for evidence.

Any controller that holds the fleet's key opens it; nobody else can read or change it. That it is
good once is for the store: the challenge's id is spent in the transaction that the evidence
commits.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from framegate.codec import Record, blob, numbers, text, u8, u32, u64
from framegate.errors import FramegateError, Reason, Refused
from framegate.wire import MAX_TEXT

SEAL_NONCE_BYTES: Final = 12
MAX_STATE_BYTES: Final = 16 * 1024
"""Four public areas of at most a kilobyte each, and words."""
MAX_ENDORSEMENT: Final = 1024
"""Characters of what vouches for an EK, in words; makers' names are long."""
_LABEL: Final = b"framegate/v1/challenge-state"


class ChallengeState(Record):
    """What evidence and MAC are checked against. On the fleet port the public areas, secret and
    ticket are empty: the device's row has them.
    """

    LABEL = "framegate/v1/challenge-state"
    session: bytes = blob(16, exactly=True)
    transcript: bytes = blob(32, exactly=True)
    join: int = u8()
    device: str = text(MAX_TEXT)
    bank: int = u32()
    pcrs: tuple[int, ...] = numbers(24)
    ima_offset: int = u64()
    expires_ms: int = u64()
    secret: bytes = blob(32)
    ticket: bytes = blob(32)
    ek_public: bytes = blob(1024)
    ak_public: bytes = blob(1024)
    tls_public: bytes = blob(1024)
    iak_public: bytes = blob(1024)
    ek_certified: int = u8()
    manufacturer: int = u32()
    endorsement: str = text(MAX_ENDORSEMENT)


def unknown_session() -> Refused:
    """That no such session waits for its evidence: nobody began it, or it was answered before."""
    return Refused.of(
        Reason.SESSION_UNKNOWN,
        "a session that waits for its evidence",
        "none, or one already used",
        "begin again",
    )


def state_key(secret: bytes, restorations: int = 0) -> bytes:
    """The sealing key of a fleet's controllers, 32 bytes, out of a secret that they share (HKDF,
    RFC 5869).

    It is another after each of the registry's `restorations`, which forgot what was answered.
    """
    salt = restorations.to_bytes(4, "big") if restorations else None
    return HKDF(SHA256(), 32, salt, _LABEL).derive(secret)


def seal_state(key: bytes, state: ChallengeState, nonce: bytes) -> bytes:
    """`state` for its way to the device and back: nonce, AES-256-GCM-SIV (RFC 8452) over its bytes.

    `nonce` is 12 fresh random bytes; one that came twice would not open anything.
    """
    return nonce + AESGCMSIV(key).encrypt(nonce, state.marshal(), _LABEL)


def open_state(key: bytes, sealed: bytes, now_ms: int) -> ChallengeState:
    """The state, after: 1. it was sealed by a controller of this fleet; 2. its deadline is not
    over.

    That it was not answered before, the caller MUST establish. Raises Refused (SESSION_UNKNOWN,
    SESSION_EXPIRED).
    """
    if not SEAL_NONCE_BYTES < len(sealed) <= MAX_STATE_BYTES:
        raise unknown_session()
    try:
        state = ChallengeState.parse(
            AESGCMSIV(key).decrypt(sealed[:SEAL_NONCE_BYTES], sealed[SEAL_NONCE_BYTES:], _LABEL)
        )  # 1
    except (InvalidTag, ValueError, FramegateError) as error:
        raise unknown_session() from error
    if state.expires_ms < now_ms:  # 2
        late = f"{(now_ms - state.expires_ms) / 1000:.0f} s late"
        raise Refused.of(
            Reason.SESSION_EXPIRED, "evidence before the challenge's deadline", late, "begin again"
        )
    return state
