"""What a committed change asks to be told to machines and gateways.

Values: who subscribes, and over what, the bus knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    """A machine changed: it hears of it, its zone's gateways and, of a gateway, its cameras."""

    device: str


@dataclass(frozen=True, slots=True)
class AttestNow:
    """A machine is asked for fresh evidence."""

    device: str


@dataclass(frozen=True, slots=True)
class EverybodyAttests:
    """Every machine that listens is asked for fresh evidence."""


@dataclass(frozen=True, slots=True)
class GrantsChanged:
    """A camera is to fetch its grants and masks anew."""

    device: str


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """People, policy or a zone's rules changed, for every gateway.

    Cameras hear of it too where `grants` may fall otherwise.
    """

    grants: bool = False


@dataclass(frozen=True, slots=True)
class PartChanged:
    """A part's signed envelope, for every gateway."""

    envelope: bytes


@dataclass(frozen=True, slots=True)
class HeadSigned:
    """A signed head of the record, for every gateway to remember."""

    head: bytes


Notice = (
    DeviceChanged
    | AttestNow
    | EverybodyAttests
    | GrantsChanged
    | AccessChanged
    | PartChanged
    | HeadSigned
)
