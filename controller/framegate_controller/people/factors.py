"""What a person knows and has: argon2id passwords, TOTP (RFC 6238), recovery codes.

Secrets are hashed or sealed before they reach the store.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from dataclasses import dataclass, replace
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from framegate.errors import Malformed, Reason, Refused
from framegate.registry.operator import Operator
from framegate.wire import sha256

MIN_PASSWORD: Final = 12
"""Characters; length beats rules (NIST SP 800-63B-4, 3.1.1.2)."""
MAX_PASSWORD: Final = 1024
TOTP_STEP_S: Final = 30
TOTP_SKEW: Final = 1
"""Steps before and after: 30 s of clock skew either way, as RFC 6238, 5.2 recommends at most."""
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 10
"""80 bits: a recovery code counts beside the password alone."""
CODE_BYTES: Final = 20
"""160 bits: an enrolment code, or a sealed credential, stands for everything."""
_NONCE_BYTES: Final = 12
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
"""RFC 9106's second recommended option, with one lane for two cores."""
_DUMMY: Final = (
    f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    f"${'A' * 22}${'A' * 43}"
)
"""What nobody's password is checked against: of the same cost, and nothing hashes to its zeros."""


@dataclass(frozen=True, slots=True)
class FactorKey:
    """Seals TOTP secrets: a copy of the database alone opens nobody's second factor."""

    key: bytes

    def seal(self, secret: str, operator: str) -> bytes:
        """AES-256-GCM, bound to the operator's name."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, secret.encode(), operator.encode())

    def open(self, sealed: bytes, operator: str) -> str:
        """The secret. Raises Refused where the store was changed or belongs to other keys."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.key).decrypt(nonce, ciphertext, operator.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Refused.of(
                Reason.SIGN_IN,
                "a second factor sealed by this fleet's key",
                "another",
                "framegate operator reset-mfa NAME",
            ) from error


def hash_password(password: str) -> str:
    """Raises Malformed where it is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Malformed.of(
            Reason.USAGE,
            f"a password of {MIN_PASSWORD} to {MAX_PASSWORD} characters",
            f"{len(password)} characters",
            "a sentence is easy to remember and hard to guess",
        )
    return _HASHER.hash(password)


def right_password(stored: str, password: str) -> bool:
    """Whether it is the one. Costs the same where there is none, so nobody learns who exists."""
    try:
        right = _HASHER.verify(stored or _DUMMY, password[:MAX_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
    return right and bool(stored)


def new_totp() -> str:
    """A fresh secret, base32, 160 bits (RFC 4226, 4 R6)."""
    return pyotp.random_base32()


def totp_uri(secret: str, operator: str, fleet: str) -> str:
    """What an authenticator app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=operator, issuer_name=f"Framegate {fleet}")


def totp_step(secret: str, code: str, last_step: int, now_ms: int) -> int:
    """The time step that `code` is of, 0 where it is wrong.

    A step at or before `last_step` was used already and counts no more (RFC 6238, 5.2).
    """
    step = now_ms // 1000 // TOTP_STEP_S
    totp, shown = pyotp.TOTP(secret), code.encode(errors="replace")
    for candidate in range(step - TOTP_SKEW, step + TOTP_SKEW + 1):
        right = totp.at(candidate * TOTP_STEP_S).encode()
        if candidate > last_step and hmac.compare_digest(right, shown):
            return candidate
    return 0


def new_recovery_codes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ten codes for the operator, their hashes for the store)."""
    codes = [_new_code(RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
    return tuple(codes), tuple(map(_code_hash, codes))


def new_code() -> tuple[str, str]:
    """(a code, its hash): enrolment and sealed credentials."""
    code = _new_code(CODE_BYTES)
    return code, _code_hash(code)


def same_code(stored: str, code: str) -> bool:
    """Whether `code` has the hash `stored`; dashes, blanks and case do not matter."""
    return bool(stored) and hmac.compare_digest(stored, _code_hash(code))


def use_second_factor(
    operator: Operator, key: FactorKey, code: str, now_ms: int
) -> Operator | None:
    """The operator after `code`, a TOTP or recovery code of theirs, was spent; else None."""
    factors, code = operator.factors, code.strip()
    if factors.totp and code.isdigit():
        secret = key.open(factors.totp, operator.name)
        step = totp_step(secret, code, factors.totp_step, now_ms)
        return replace(operator, factors=replace(factors, totp_step=step)) if step else None
    hashed = _code_hash(code)
    if hashed not in factors.recovery:
        return None
    left = tuple(c for c in factors.recovery if c != hashed)
    return replace(operator, factors=replace(factors, recovery=left))


def _new_code(size: int) -> str:
    """`size` random bytes as people type them: lower case base32 in groups of four."""
    text = base64.b32encode(secrets.token_bytes(size)).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


def _code_hash(code: str) -> str:
    plain = "".join(c for c in code.lower() if c.isalnum())
    return sha256(b"framegate/v1/code\0" + plain.encode()).hex()
