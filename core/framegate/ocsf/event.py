"""An entry of the record as one OCSF event: a pure function of the entry and its place."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

# importing declares
from framegate.ocsf import (  # noqa: F401
    federation_mappings,
    fleet_mappings,
    machine_mappings,
    people_mappings,
    playbook_mappings,
    site_mappings,
    transparency_mappings,
)
from framegate.ocsf.classes import BASE, CATEGORIES, IN_1_9, OTHER, USER
from framegate.ocsf.fleet_mappings import RECORD
from framegate.ocsf.logged import LoggedEvent, OcsfVersion
from framegate.ocsf.mapping import Mapped, actor_of, device_of, endpoint, mappings
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import NO_ENTRY
from framegate.record.event import Severity
from framegate.record.events import severity_of

PRODUCT: Final = {"name": "Framegate", "vendor_name": "Framegate", "uid": "framegate-controller"}
MAX_LABEL: Final = 200
"""Characters of one label: longer words stand in `raw_data`."""
_SEVERITIES: Final = {
    Severity.INFORMATIONAL: "Informational",
    Severity.LOW: "Low",
    Severity.MEDIUM: "Medium",
    Severity.HIGH: "High",
    Severity.CRITICAL: "Critical",
}
_SHA_256: Final = {"algorithm_id": 3, "algorithm": "SHA-256"}
_HEX: Final = {"encoding_id": 1, "encoding": "Hex"}
_LOGGED_BYTES: Final = {"serialization_id": 99, "serialization": "RFC 9162 leaf of raw_data"}
"""OCSF's canonical serialization would be of the event; ours is of the entry that it is made of,
which is what the fleet's signed heads are over.
"""


def ocsf_event(event: LoggedEvent, version: OcsfVersion = OcsfVersion.V1_8) -> dict[str, Any]:
    """`event` in OCSF `version`, as a JSON value.

    `raw_data` is the entry as it was logged, so that a copy of the events proves itself against a
    signed head; `metadata.uid` is one of a kind. An entry of a later version of Framegate is a Base
    Event.
    """
    work = mappings().get(event.name)
    mapped = work(event) if work is not None else Mapped(BASE, OTHER, other=event.name or "Unknown")
    if version == OcsfVersion.V1_9:
        mapped = _in_1_9(mapped)
    kind = mapped.kind
    activity = mapped.other if mapped.activity == OTHER else kind.activities[mapped.activity]
    severity = mapped.severity or severity_of(event.name)
    return {
        "activity_id": mapped.activity,
        "activity_name": activity,
        "category_uid": kind.category,
        "category_name": CATEGORIES[kind.category],
        "class_uid": kind.uid,
        "class_name": kind.caption,
        "type_uid": kind.uid * 100 + mapped.activity,
        "type_name": f"{kind.caption}: {activity}",
        "severity_id": severity.value,
        "severity": _SEVERITIES[severity],
        "time": event.at_ms,
        "message": event.text("detail") or event.name,
        "actor": actor_of(event),
        **({"device": device_of(event.text("device"))} if event.text("device") else {}),
        **({"src_endpoint": endpoint(event.text("source"))} if _peered(event, mapped) else {}),
        **mapped.attributes,
        "metadata": _metadata(event, mapped, version),
        "raw_data": event.raw.decode(),
        "raw_data_size": len(event.raw),
        "raw_data_hash": {**_SHA_256, "value": sha256(event.raw).hexdigest()},
        **({"attestation_list": [_attestation(event)]} if version == OcsfVersion.V1_9 else {}),
    }


def _peered(event: LoggedEvent, mapped: Mapped) -> bool:
    return mapped.kind.peers and bool(event.text("source"))


def _metadata(event: LoggedEvent, mapped: Mapped, version: OcsfVersion) -> dict[str, Any]:
    integrity = ("record_integrity",) if version == OcsfVersion.V1_9 else ()
    labels = [
        *(f"{name}:{event.text(name)}"[:MAX_LABEL] for name in _LABELS if event.text(name)),
        *(f"approved_by:{who}"[:MAX_LABEL] for who in event.texts("approved_by")),
        *(f"policies:{which}"[:MAX_LABEL] for which in event.texts("policies")),
    ]
    return {
        "version": version.value,
        "product": PRODUCT,
        "profiles": ["host", *mapped.profiles, *integrity],
        "uid": event.uid,
        "sequence": event.index,
        "event_code": event.name,
        "log_name": RECORD,
        "log_provider": event.fleet,
        "tenant_uid": event.fleet,
        "original_time": str(event.at_ms),
        **({"labels": labels} if labels else {}),
    }


_LABELS: Final = ("verb", "policy", "request", "reason")


def _in_1_9(mapped: Mapped) -> Mapped:
    """With the class that 1.9.0 has in the place of those it deprecates."""
    if mapped.kind.uid not in IN_1_9:
        return mapped
    activity = IN_1_9[mapped.kind.uid][mapped.activity]
    return Mapped(USER, activity, mapped.attributes, mapped.other, mapped.profiles)


def _attestation(event: LoggedEvent) -> dict[str, Any]:
    """The record's chain in the shape of OCSF 1.9.0's profile `record_integrity`."""
    previous = event.text("previous")
    before = event.index - 1
    chained = (
        {}
        if previous == NO_ENTRY
        else {
            "prev_event": {
                "uid": f"{event.fleet}:{before}",
                "fingerprint": {**_SHA_256, **_HEX, **_LOGGED_BYTES, "value": previous},
            }
        }
    )
    return {
        "uid": event.uid,
        "authority_uid": event.fleet,
        "chain_uid": f"{event.fleet}:record",
        "fingerprint": {
            **_SHA_256,
            **_HEX,
            **_LOGGED_BYTES,
            "value": leaf_hash(event.raw).hex(),
        },
        **chained,
    }
