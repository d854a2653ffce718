"""Tables of models, parts and golden images."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class ModelRow(Base):
    """A registered model bundle: who must have signed it (`anchor`, `signer`), its files' digests
    as JSON, whether it is approved.
    """

    __tablename__ = "models"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(BigInteger)
    signer: Mapped[str] = mapped_column(String(200))
    anchor: Mapped[str] = mapped_column(Text)
    files: Mapped[str] = mapped_column(Text)
    recipe: Mapped[bytes] = mapped_column(LargeBinary)
    card: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    registered_by: Mapped[str] = mapped_column(String(200))
    approved_by: Mapped[str] = mapped_column(Text)
    at_ms: Mapped[int] = mapped_column(BigInteger)


class ModelPinRow(Base):
    """Every model pin of a zone, as its signed envelope; the highest sequence is in force."""

    __tablename__ = "model_pins"
    zone: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class PartRow(Base):
    """A part as its signed envelope; a removed one stays, so that its version never falls."""

    __tablename__ = "parts"
    part_type: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    removed: Mapped[bool]
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    by: Mapped[str] = mapped_column(String(200))


class GoldenRow(Base):
    """A golden image by its digest."""

    __tablename__ = "golden_images"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    image: Mapped[bytes] = mapped_column(LargeBinary)
