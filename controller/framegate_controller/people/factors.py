"""What a person knows and has: argon2id passwords, TOTP (RFC 6238), recovery codes. Secrets are hashed or sealed before they reach the store."""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from framegate.errors import Malformed, Reason, Refused
from framegate.wire import sha256
from framegate_controller.store.tables import OperatorRow

MIN_PASSWORD: Final = 12
"""Characters; length beats rules (NIST SP 800-63B-4, 3.1.1.2)."""
MAX_PASSWORD: Final = 1024
TOTP_STEP_S: Final = 30
TOTP_SKEW: Final = 1
"""Steps before and after: 30 s of clock skew either way, as RFC 6238, 5.2 recommends at most."""
RECOVERY_CODES: Final = 10
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
"""RFC 9106's second recommended option, with one lane for two cores."""
_DUMMY: Final = _HASHER.hash(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class FactorKey:
    """Seals TOTP secrets in the store: a copy of the database alone opens nobody's second factor."""

    key: bytes

    def seal(self, secret: str, operator: str) -> bytes:
        """AES-256-GCM, bound to the operator's name."""
        nonce = os.urandom(12)
        return nonce + AESGCM(self.key).encrypt(nonce, secret.encode(), operator.encode())

    def open(self, sealed: bytes, operator: str) -> str:
        """The secret. Raises Refused where the store was changed or belongs to other keys."""
        try:
            return AESGCM(self.key).decrypt(sealed[:12], sealed[12:], operator.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Refused.of(Reason.SIGN_IN, "a second factor sealed by this fleet's key", "another", "framegate operator reset-mfa NAME") from error


def hash_password(password: str) -> str:
    """Raises Malformed where it is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Malformed.of(
            Reason.USAGE, f"a password of {MIN_PASSWORD} to {MAX_PASSWORD} characters", f"{len(password)} characters", "a sentence is easy to remember and hard to guess"
        )
    return _HASHER.hash(password)


def right_password(stored: str, password: str) -> bool:
    """Whether it is the one. Costs the same where there is none, so that nobody learns who exists."""
    try:
        return _HASHER.verify(stored or _DUMMY, password[:MAX_PASSWORD]) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def new_totp() -> str:
    """A fresh secret, base32, 160 bits (RFC 4226, 4 R6)."""
    return pyotp.random_base32()


def totp_uri(secret: str, operator: str, fleet: str) -> str:
    """What an authenticator app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=operator, issuer_name=f"Framegate {fleet}")


def totp_step(secret: str, code: str, last_step: int, now_ms: int) -> int:
    """The time step that `code` is of, 0 where it is wrong. A step at or before `last_step` was used already and counts no more (RFC 6238, 5.2)."""
    step = now_ms // 1000 // TOTP_STEP_S
    totp = pyotp.TOTP(secret)
    for candidate in range(step - TOTP_SKEW, step + TOTP_SKEW + 1):
        if candidate > last_step and hmac.compare_digest(totp.at(candidate * TOTP_STEP_S).encode(), code.encode(errors="replace")):
            return candidate
    return 0


def new_recovery_codes() -> tuple[list[str], str]:
    """(ten codes of 80 bits for the operator, their hashes as JSON for the store)."""
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(c[i : i + 4] for i in range(0, 16, 4)) for c in codes], json.dumps([_code_hash(c) for c in codes])


def new_code() -> tuple[str, str]:
    """(a code of 160 bits, its hash): enrolment and break-glass."""
    code = base64.b32encode(secrets.token_bytes(20)).decode().lower()
    return "-".join(code[i : i + 4] for i in range(0, 32, 4)), _code_hash(code)


def same_code(stored: str, code: str) -> bool:
    """Whether `code` has the hash `stored`; dashes, blanks and case do not matter."""
    return bool(stored) and hmac.compare_digest(stored, _code_hash(code))


def use_second_factor(row: OperatorRow, key: FactorKey, code: str, now_ms: int) -> str:
    """Take `code` as a TOTP or recovery code of `row` and spend it; returns which it was, empty where it was neither."""
    code = code.strip()
    if row.totp and code.isdigit():
        step = totp_step(key.open(row.totp, row.name), code, row.totp_step, now_ms)
        if step:
            row.totp_step = step
            return "totp"
        return ""
    left = json.loads(row.recovery)
    hashed = _code_hash(code)
    if hashed in left:
        row.recovery = json.dumps([c for c in left if c != hashed])
        return "recovery-code"
    return ""


def _code_hash(code: str) -> str:
    return sha256(b"framegate/v1/code\0" + "".join(c for c in code.lower() if c.isalnum()).encode()).hex()
