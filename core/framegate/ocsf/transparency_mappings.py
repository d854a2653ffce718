"""Events about the log of decisions and its witnesses in OCSF."""

from __future__ import annotations

from typing import Final

from framegate.ocsf.classes import ENTITY, EVENT_LOG, FINDING
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import FAILURE, SUCCESS, Mapped, entity, maps
from framegate.ocsf.techniques import attacks_of

DECISIONS: Final = "framegate-decisions"
"""The name of the log of decisions, as `log_name` has it."""


@maps("release-approved")
def release_approved(event: LoggedEvent) -> Mapped:
    """A release may be installed."""
    return Mapped(ENTITY, 10, {"entity": entity("Release", event.member("release")), **SUCCESS})


@maps("witness-failed")
def witness_failed(event: LoggedEvent) -> Mapped:
    """A witness does not cosign."""
    return _witness(event, 7, FAILURE | {"status_detail": event.member("why")})


@maps("witness-back")
def witness_back(event: LoggedEvent) -> Mapped:
    """It cosigns again."""
    return _witness(event, 6, dict(SUCCESS))


@maps("witness-behind")
def witness_behind(event: LoggedEvent) -> Mapped:
    """A witness is older than its own cosignatures."""
    return _finding(event, "A witness was put back", "witness-behind")


@maps("log-forked")
def log_forked(event: LoggedEvent) -> Mapped:
    """Another history of the log of decisions was seen."""
    return _finding(event, "The log of decisions has two histories", "log-forked")


def _witness(event: LoggedEvent, activity: int, status: dict[str, object]) -> Mapped:
    about = {"svc_name": event.member("witness") or "unknown"}
    return Mapped(EVENT_LOG, activity, {"log_name": DECISIONS, "dst_endpoint": about, **status})


def _finding(event: LoggedEvent, title: str, reason: str) -> Mapped:
    finding = {
        "uid": event.uid,
        "title": title,
        "desc": event.text("detail"),
        "types": [reason],
        "analytic": {"type_id": 1, "type": "Rule", "name": reason, "uid": reason},
        "attacks": attacks_of((reason,)),
    }
    return Mapped(FINDING, 1, {"finding_info": finding, "status_id": 1, "status": "New"})
