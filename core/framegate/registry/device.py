"""A machine of the fleet, as the controller knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from framegate.errors import Failure
from framegate.identity.names import DeviceId, Kind
from framegate.ima.replay import ImaPrefix
from framegate.machines.lifecycle import State
from framegate.tpm.attest import ClockInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmIdentity:
    """The TPM that proved itself: marshalled public areas, digests, and in words what vouches for
    its EK.
    """

    ek_sha256: bytes
    ek_public: bytes
    ak_name: bytes
    ak_public: bytes
    manufacturer: int
    endorsement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsKey:
    """The TLS key that the AK certified last: public area, SHA-256 of its SPKI, the certificate's
    end (0: none).
    """

    public: bytes
    spki_sha256: bytes
    certificate_expires_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The last affirming result, until when it stands, and what it rested on. `result_id` is empty
    where there was none.
    """

    result_id: str = ""
    result_ms: int = 0
    expires_ms: int = 0
    evidence_sha256: bytes = b""
    profile: str = ""
    profile_sha256: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the last evidence that verified showed, affirming or not. `vector` is the AR4SI
    trustworthiness vector, `posture` the agent's JSON.
    """

    firmware_version: str = ""
    pcrs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    posture: str = ""
    vector: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    findings: tuple[Failure, ...] = ()
    failures: tuple[Failure, ...] = ()
    failures_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the next evidence is held against: clock and boot log of the last accepted one, and how
    far its IMA list was judged, by which profile.
    """

    clock: ClockInfo | None = None
    boot_log_sha256: bytes = b""
    ima: ImaPrefix | None = None
    ima_profile_sha256: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A machine of the fleet; `id` is `<kind>.<zone>.<name>`.

    `tpm` is None until a TPM proved itself, `tls` until a key of it was accepted. `version` is the
    store's: it rises with every change, and putting a value back that somebody else changed
    meanwhile is refused.
    """

    id: DeviceId
    kind: Kind
    zone: str
    name: str
    state: State
    since_ms: int
    profile: str
    tpm: TpmIdentity | None = None
    tls: TlsKey | None = None
    standing: Standing = Standing()
    shown: Shown = Shown()
    baseline: Baseline = Baseline()
    maintenance_until_ms: int = 0
    maintenance: str = ""
    version: int = 0

    def serviced(self, now_ms: int) -> bool:
        """Whether it is in maintenance."""
        return self.maintenance_until_ms > now_ms

    @property
    def certificate_expires_ms(self) -> int:
        """When its certificate ends, 0 where it has none."""
        return self.tls.certificate_expires_ms if self.tls is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayProcess:
    """A gateway process that its host's last result vouches for; `publics` as they were quoted
    (`GatewayPublics`).
    """

    publics_sha256: bytes
    host: DeviceId
    publics: bytes
    result_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmMaker:
    """A TPM maker's CA that an operator trusts for endorsement; DER."""

    sha256: bytes
    certificate: bytes
    subject: str
    added_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMasks:
    """The masks in force for one camera, as their signed envelope."""

    device: DeviceId
    version: int
    sha256: bytes
    envelope: bytes
