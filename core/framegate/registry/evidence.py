"""Evidence and results as they are kept, so that any decision can be looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framegate.errors import Failure
from framegate.identity.names import DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvidence:
    """Evidence as it came, with what it takes to verify it again; later evidence that says the same
    only moves `last_ms` and `count`.
    """

    id: str
    device: DeviceId
    content_sha256: bytes
    first_ms: int
    last_ms: int
    count: int
    join: bool
    transcript: bytes
    ak_public: bytes
    tls_public: bytes
    bank: int
    pcrs: tuple[int, ...]
    boot_log_sha256: bytes
    ima_entries: int
    reset_count: int
    restart_count: int
    raw: bytes
    profile: str
    affirming: bool
    failures: tuple[Failure, ...]
    vector: Mapping[str, int]
    ear: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
    """What an affirming Attestation Result rested on; receipts name it by its id for as long as
    receipts live.
    """

    id: str
    device: DeviceId
    at_ms: int
    evidence_sha256: bytes
    quote: bytes
    signature: bytes
    ak_public: bytes
    profile: str
    profile_sha256: bytes
    evidence: str = ""
    ear: str = ""
