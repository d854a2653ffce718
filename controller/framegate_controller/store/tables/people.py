"""Tables of people, their sign-ins, their requests and the access policy."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class OperatorRow(Base):
    """A person. `roles` is a JSON list of [role, zone]; `totp` and `recovery` are sealed or hashed,
    never plain. `vouched`: somebody besides who added them approved it, or it was in set-up.
    """

    __tablename__ = "operators"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    words: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool]
    roles: Mapped[str] = mapped_column(Text)
    setup_admin: Mapped[bool] = mapped_column(default=False)
    password: Mapped[str] = mapped_column(Text, default="")
    totp: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    recovery: Mapped[str] = mapped_column(Text, default="[]")
    oidc_issuer: Mapped[str] = mapped_column(Text, default="")
    oidc_subject: Mapped[str] = mapped_column(Text, default="")
    enrolment: Mapped[str] = mapped_column(Text, default="")
    enrolment_expires_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    added_ms: Mapped[int] = mapped_column(BigInteger)
    added_by: Mapped[str] = mapped_column(String(200))
    vouched: Mapped[bool] = mapped_column(default=False)
    seen_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class SecurityKey(Base):
    """A WebAuthn credential of an operator: what the authenticator gave at registration, and its
    signature counter.
    """

    __tablename__ = "security_keys"
    credential: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    operator: Mapped[str] = mapped_column(String(63), index=True)
    label: Mapped[str] = mapped_column(String(63))
    data: Mapped[bytes] = mapped_column(LargeBinary)
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class OperatorSession(Base):
    """A sign-in: the key that the certificate is for, until when, and when the second factor was
    last shown. `break_glass` names the sealed credential used.
    """

    __tablename__ = "operator_sessions"
    spki_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    operator: Mapped[str] = mapped_column(String(63), index=True)
    began_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    factor_ms: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(100))
    ended_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    break_glass: Mapped[str] = mapped_column(String(32), default="")


class AccessRequest(Base):
    """Somebody asks for a role for a while, or for others' approval of one exact act. `approvals`
    is a JSON list of [operator, at_ms].
    """

    __tablename__ = "access_requests"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="act")
    requester: Mapped[str] = mapped_column(String(200), index=True)
    verb: Mapped[str] = mapped_column(String(63), default="")
    role: Mapped[str] = mapped_column(String(16), default="")
    zone: Mapped[str] = mapped_column(String(63))
    target: Mapped[str] = mapped_column(Text, default="")
    content_type: Mapped[str] = mapped_column(String(63), default="")
    content_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    policy_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    summary: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    minutes: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(16), index=True)
    approvals: Mapped[str] = mapped_column(Text, default="[]")
    asked_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class RequestContent(Base):
    """The message that a request is of, apart from it: lists of requests do not read megabytes."""

    __tablename__ = "request_contents"
    request: Mapped[str] = mapped_column(String(16), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class PolicyRow(Base):
    """An access policy that was in force, as its signed envelope; the highest version is."""

    __tablename__ = "access_policies"
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    applied_by: Mapped[str] = mapped_column(String(200))
    applied_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text, default="")


class DecisionRow(Base):
    """A decision of the access policy with what was asked, once for each content, so that it can be
    asked of another policy.
    """

    __tablename__ = "decisions"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    request: Mapped[str] = mapped_column(Text)
    allow: Mapped[bool]
    policies: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[int] = mapped_column(BigInteger)
    first_ms: Mapped[int] = mapped_column(BigInteger)
    last_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    count: Mapped[int] = mapped_column(BigInteger)
