"""Events about machines in OCSF."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from framegate.machines.lifecycle import State
from framegate.ocsf.classes import (
    API,
    DEVICE_STATE,
    ENTITY,
    EVENT_LOG,
    FINDING,
    INVENTORY,
    NETWORK,
    OTHER,
)
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import (
    FAILURE,
    SUCCESS,
    Mapped,
    device_entity,
    device_of,
    endpoint,
    entity,
    maps,
    policy_entity,
)
from framegate.ocsf.techniques import attacks_of

RECEIPTS: Final = "framegate-receipts"
_LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "": 0,
        State.INVITED: 0,
        State.PENDING: 2,
        State.TRUSTED: 1,
        State.STALE: 2,
        State.SUSPECT: 3,
        State.QUARANTINED: 3,
        State.RETIRED: 0,
    }
)
_LEVEL_NAMES: Final = ("Unknown", "Secure", "At Risk", "Compromised")
_STATES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        State.SUSPECT: (15, "Modified execution environment"),
        State.QUARANTINED: (3, "In network quarantine"),
        State.STALE: (1, "Missing or outdated content"),
    }
)


def _level(name: str, state: str) -> dict[str, Any]:
    level = _LEVELS.get(state, 0)
    at = _STATES.get(state, (99, state) if state else None)
    states = {f"{name}_states": [{"state_id": at[0], "state": at[1]}]} if at else {}
    return {f"{name}_level_id": level, f"{name}_level": _LEVEL_NAMES[level], **states}


def _levels(event: LoggedEvent) -> dict[str, Any]:
    """Security levels and states before and after."""
    return {
        "device": device_of(event.text("device") or "unknown"),
        **_level("prev_security", event.text("from")),
        **_level("security", event.text("to")),
    }


def _device(event: LoggedEvent, activity: int) -> Mapped:
    return Mapped(ENTITY, activity, {"entity": device_entity(event), **SUCCESS})


@maps("proved", "proved-unpinned", "approved", "late", "reconsidered")
def state_changed(event: LoggedEvent) -> Mapped:
    """A machine went from one state to another."""
    return Mapped(DEVICE_STATE, 1, _levels(event))


@maps("contradicted")
def contradicted(event: LoggedEvent) -> Mapped:
    """Authenticated evidence contradicts policy."""
    return Mapped(DEVICE_STATE, 1, {**_levels(event), "status_detail": event.member("why")})


@maps("quarantine")
def quarantined(event: LoggedEvent) -> Mapped:
    """A machine is kept out."""
    return _device(event, 12)


@maps("release")
def released(event: LoggedEvent) -> Mapped:
    """It may come back."""
    return _device(event, 13)


@maps("retire")
def retired(event: LoggedEvent) -> Mapped:
    """It is out for good."""
    return _device(event, 7)


@maps("replaced")
def replaced(event: LoggedEvent) -> Mapped:
    """Another machine stands in its place."""
    return _device(event, 3)


@maps("invited")
def invited(event: LoggedEvent) -> Mapped:
    """A machine was registered."""
    return _device(event, 1)


@maps("replacement-invited")
def replacement_invited(event: LoggedEvent) -> Mapped:
    """Another machine may take its place."""
    return _device(event, 3)


@maps("ticket-used")
def ticket_used(event: LoggedEvent) -> Mapped:
    """A TPM proved itself with the ticket."""
    return _device(event, 6)


@maps("profile-assigned")
def profile_assigned(event: LoggedEvent) -> Mapped:
    """Another profile counts for a machine."""
    after = {"policy": {"name": event.member("after") or "unknown"}, "type_id": 1, "type": "Device"}
    return Mapped(ENTITY, 3, {"entity": device_entity(event), "entity_result": after, **SUCCESS})


@maps("join-port-restarted")
def join_port_restarted(event: LoggedEvent) -> Mapped:
    """The process at the join port was replaced."""
    attributes = {"entity": entity("Process", "join port"), **FAILURE}
    return Mapped(
        ENTITY, OTHER, attributes | {"status_detail": event.member("why")}, other="Restart"
    )


@maps("strangers-refused")
def strangers_refused(event: LoggedEvent) -> Mapped:
    """Calls at the join port were refused."""
    count = event.member("count")
    attributes: dict[str, Any] = {
        "src_endpoint": endpoint(event.member("source")),
        "dst_endpoint": {"svc_name": "join port"},
        "status_detail": event.member("reason"),
    }
    return Mapped(NETWORK, 5, attributes | ({"count": int(count)} if count.isdecimal() else {}))


@maps("attested")
def attested(event: LoggedEvent) -> Mapped:
    """A trusted machine proved itself again."""
    device = device_of(event.text("device") or "unknown") | {"is_trusted": True}
    return Mapped(INVENTORY, 2, {"device": device, "status_detail": event.member("result")})


@maps("evidence-refused")
def evidence_refused(event: LoggedEvent) -> Mapped:
    """What came as evidence did not hold."""
    reasons = event.many("reasons")
    finding = {
        "uid": event.uid,
        "title": "Evidence refused",
        "desc": event.text("detail"),
        "types": list(reasons),
        "analytic": {"type_id": 1, "type": "Rule", "name": "evidence", "uid": "evidence"},
        "attacks": attacks_of(reasons),
    }
    return Mapped(FINDING, 1, {"finding_info": finding, "status_id": 1, "status": "New"})


@maps("posture-changed")
def posture_changed(event: LoggedEvent) -> Mapped:
    """What a machine says of itself changed."""
    device = device_of(event.text("device") or "unknown")
    return Mapped(DEVICE_STATE, 1, {"device": device, "security_level_id": 0})


@maps("attest-now")
def evidence_asked(event: LoggedEvent) -> Mapped:
    """Somebody asked for evidence now."""
    attributes = {"api": {"operation": "device.attest-now"}}
    return Mapped(API, 2, attributes | {"src_endpoint": endpoint(event.text("source"))})


@maps("counters-accepted")
def counters_accepted(event: LoggedEvent) -> Mapped:
    """A TPM's counters may begin again."""
    return _device(event, 3)


@maps("maintenance-began")
def maintenance_began(event: LoggedEvent) -> Mapped:
    """A machine is serviced."""
    return _device(event, 11)


@maps("maintenance-ended")
def maintenance_ended(event: LoggedEvent) -> Mapped:
    """It is not any more."""
    return _device(event, 10)


@maps("masks-set")
def masks_set(event: LoggedEvent) -> Mapped:
    """A camera's privacy masks changed."""
    masks = policy_entity(f"masks of {event.text('device')}")
    return Mapped(ENTITY, 3, {"entity": masks | {"version": event.member("version")}, **SUCCESS})


@maps("rollout")
def rollout_seen(event: LoggedEvent) -> Mapped:
    """What a rollout sees of a machine changed."""
    return _device(event, 3)


@maps("receipt-store-new")
def receipt_store_new(event: LoggedEvent) -> Mapped:
    """A gateway began a chain of receipts."""
    return Mapped(EVENT_LOG, 6, {"log_name": RECEIPTS})


@maps("receipts-recovered")
def receipts_recovered(event: LoggedEvent) -> Mapped:
    """Receipts were signed by a successor."""
    return Mapped(EVENT_LOG, OTHER, {"log_name": RECEIPTS}, other="Recover")


@maps("receipt-batch")
def receipt_batch(event: LoggedEvent) -> Mapped:
    """A gateway's signed batch of receipts came into the record."""
    device = device_of(event.text("gateway") or "unknown")
    return Mapped(EVENT_LOG, OTHER, {"log_name": RECEIPTS, "device": device}, other="Append")
