"""Tables of firmware profiles, their signers and their rollouts."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class Profile(Base):
    """A firmware profile as its signed envelope."""

    __tablename__ = "profiles"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class ProfileRevision(Base):
    """Every revision of a firmware profile that was ever signed for this fleet, so that a decision
    can be looked at again.
    """

    __tablename__ = "profile_revisions"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    version: Mapped[str] = mapped_column(Text)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    signer: Mapped[str] = mapped_column(Text)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class RevokedSigner(Base):
    """A profile signer whose word counts no more, by the hash of its certificate."""

    __tablename__ = "revoked_signers"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    subject: Mapped[str] = mapped_column(Text)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)


class RolloutRow(Base):
    """A firmware profile on its way into the fleet (core: framegate.machines.rollout)."""

    __tablename__ = "rollouts"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    profile: Mapped[str] = mapped_column(String(63), index=True)
    from_revision: Mapped[int] = mapped_column(BigInteger)
    to_revision: Mapped[int] = mapped_column(BigInteger)
    plan: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    step: Mapped[int] = mapped_column(BigInteger)
    step_ms: Mapped[int] = mapped_column(BigInteger)
    started_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text, default="")


class RolloutDevice(Base):
    """What a rollout has seen of one device; `step` is the step that reaches it."""

    __tablename__ = "rollout_devices"
    rollout: Mapped[str] = mapped_column(String(16), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[str] = mapped_column(String(16))
    shadow: Mapped[str] = mapped_column(String(16), default="")
    at_ms: Mapped[int] = mapped_column(BigInteger)
