"""People, their factors and sessions, as the controller keeps them. Secrets are hashed or sealed
before they come here.
"""

from __future__ import annotations

from dataclasses import dataclass

from framegate.access.verbs import Role, Scoped


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What a person signs in with: an argon2id hash, a sealed TOTP secret and its last step used,
    hashes of recovery codes, a provider's subject.

    `enrolment` is the hash of a code that lets the person set the first two, until
    `enrolment_expires_ms`.
    """

    password: str = ""
    totp: bytes = b""
    totp_step: int = 0
    recovery: tuple[str, ...] = ()
    oidc_issuer: str = ""
    oidc_subject: str = ""
    enrolment: str = ""
    enrolment_expires_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A person. `vouched`: somebody besides who added them approved it, or it was in set-up;
    `setup_admin`: admin until a second operator is there.
    """

    name: str
    remark: str
    enabled: bool
    roles: tuple[Scoped, ...]
    added_ms: int
    added_by: str
    vouched: bool
    setup_admin: bool = False
    factors: Factors = Factors()
    seen_ms: int = 0

    @property
    def standing_roles(self) -> tuple[Scoped, ...]:
        """Roles that need no asking; admin among them only during set-up."""
        return (*self.roles, Scoped(Role.ADMIN)) if self.setup_admin else self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityKey:
    """A WebAuthn credential: what the authenticator gave at registration, and its signature
    counter.
    """

    credential: bytes
    operator: str
    label: str
    data: bytes
    counter: int
    added_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSession:
    """A sign-in: the key its certificate is for, until when, when a factor was last shown.
    `break_glass` names the review of a sealed credential's use.
    """

    spki_sha256: bytes
    operator: str
    began_ms: int
    expires_ms: int
    factor_ms: int
    method: str
    source: str
    ended_ms: int = 0
    break_glass: str = ""

    def stands(self, now_ms: int) -> bool:
        """Whether it was neither ended nor ran out."""
        return not self.ended_ms and self.expires_ms > now_ms
