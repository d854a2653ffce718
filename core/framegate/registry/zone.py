"""A zone's rules, and the access policies that were in force."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """`grace`: gateways stay open for a while when the controller is silent; `frozen`: no changes,
    for `reason`.
    """

    name: str
    grace: bool = False
    frozen: bool = False
    reason: str = ""
    by: str = ""
    since_ms: int = 0
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedPolicy:
    """An access policy that was put in force, as its signed envelope; the highest version is in
    force.
    """

    version: int
    sha256: bytes
    envelope: bytes
    applied_by: str
    applied_ms: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDecision:
    """What the access policy was asked and answered, once for each content, to be asked of another
    policy. `request` as `Request.marshal` writes it.
    """

    sha256: bytes
    request: str
    allow: bool
    policies: tuple[str, ...]
    policy_version: int
    first_ms: int
    last_ms: int
    count: int
