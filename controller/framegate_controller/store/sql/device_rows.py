"""A machine as its row, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Row

from framegate.identity.names import DeviceId, Kind
from framegate.ima.replay import ImaPrefix
from framegate.machines.lifecycle import State
from framegate.registry.device import Baseline, Device, Shown, Standing, TlsKey, TpmIdentity
from framegate.tpm.attest import ClockInfo
from framegate_controller.store.sql.rows import failures_text, read_failures, read_mapping, table_of
from framegate_controller.store.tables import machines

DEVICES: Final = table_of(machines.Device)


def device_of(r: Row[Any]) -> Device:
    """The machine that a row is."""
    tpm = tls = None
    if r.ak_public is not None and r.ek_sha256 is not None:
        tpm = TpmIdentity(
            ek_sha256=r.ek_sha256,
            ek_public=r.ek_public or b"",
            ak_name=r.ak_name or b"",
            ak_public=r.ak_public,
            manufacturer=r.manufacturer,
            endorsement=r.endorsement,
        )
    if r.tls_public is not None:
        tls = TlsKey(
            public=r.tls_public,
            spki_sha256=r.tls_spki_sha256 or b"",
            certificate_expires_ms=r.certificate_expires_ms,
        )
    prefix = json.loads(r.ima_prefix) if r.ima_prefix else None
    return Device(
        id=DeviceId(r.id),
        kind=Kind(r.kind),
        zone=r.zone,
        name=r.name,
        state=State(r.state),
        since_ms=r.since_ms,
        profile=r.profile,
        tpm=tpm,
        tls=tls,
        standing=Standing(
            result_id=r.result_id,
            result_ms=r.result_ms,
            expires_ms=r.result_expires_ms,
            evidence_sha256=r.evidence_sha256,
            profile=r.appraised_profile,
            profile_sha256=r.appraised_profile_sha256,
        ),
        shown=Shown(
            firmware_version=r.firmware_version,
            pcrs=read_mapping(r.pcrs),
            posture=r.posture,
            vector=read_mapping(r.vector),
            findings=read_failures(r.findings),
            failures=read_failures(r.failures),
            failures_ms=r.failures_ms,
        ),
        baseline=Baseline(
            clock=ClockInfo(*json.loads(r.clock)) if r.clock else None,
            boot_log_sha256=r.boot_log_sha256,
            ima=ImaPrefix(prefix[0], prefix[1], bytes.fromhex(prefix[2]), prefix[3], prefix[4])
            if prefix
            else None,
            ima_profile_sha256=r.ima_profile_sha256,
        ),
        maintenance_until_ms=r.maintenance_until_ms,
        maintenance=r.maintenance,
        version=r.version,
    )


def columns_of(d: Device) -> Mapping[str, Any]:
    """A machine as its row's columns, without the version."""
    clock, ima = d.baseline.clock, d.baseline.ima
    return MappingProxyType(
        {
            "id": d.id,
            "kind": d.kind.value,
            "zone": d.zone,
            "name": d.name,
            "state": d.state.value,
            "since_ms": d.since_ms,
            "profile": d.profile,
            "ek_sha256": d.tpm.ek_sha256 if d.tpm else None,
            "ek_public": d.tpm.ek_public if d.tpm else None,
            "endorsement": d.tpm.endorsement if d.tpm else "",
            "ak_name": d.tpm.ak_name if d.tpm else None,
            "ak_public": d.tpm.ak_public if d.tpm else None,
            "manufacturer": d.tpm.manufacturer if d.tpm else 0,
            "tls_public": d.tls.public if d.tls else None,
            "tls_spki_sha256": d.tls.spki_sha256 if d.tls else None,
            "certificate_expires_ms": d.certificate_expires_ms,
            "result_id": d.standing.result_id,
            "result_ms": d.standing.result_ms,
            "result_expires_ms": d.standing.expires_ms,
            "evidence_sha256": d.standing.evidence_sha256,
            "appraised_profile": d.standing.profile,
            "appraised_profile_sha256": d.standing.profile_sha256,
            "firmware_version": d.shown.firmware_version,
            "pcrs": json.dumps(dict(d.shown.pcrs)),
            "posture": d.shown.posture,
            "vector": json.dumps(dict(d.shown.vector)),
            "findings": failures_text(d.shown.findings),
            "failures": failures_text(d.shown.failures),
            "failures_ms": d.shown.failures_ms,
            "clock": json.dumps([clock.clock, clock.reset_count, clock.restart_count, clock.safe])
            if clock
            else "",
            "boot_log_sha256": d.baseline.boot_log_sha256,
            "ima_prefix": json.dumps(
                [ima.entries, ima.violations, ima.value.hex(), ima.reset_count, ima.restart_count]
            )
            if ima
            else "",
            "ima_profile_sha256": d.baseline.ima_profile_sha256,
            "maintenance_until_ms": d.maintenance_until_ms,
            "maintenance": d.maintenance,
        }
    )
