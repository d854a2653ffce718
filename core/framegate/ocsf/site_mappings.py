"""What gateways and lines report, and incidents, in OCSF."""

from __future__ import annotations

from typing import Any, Final

from framegate.findings.kinds import EXPORTS, FindingKind
from framegate.ocsf.classes import (
    COMPLIANCE,
    DATASTORE,
    ENTITY,
    EVENT_LOG,
    FINDING,
    INCIDENT,
    OTHER,
)
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import (
    FAILURE,
    SUCCESS,
    Mapped,
    device_of,
    endpoint,
    maps,
    policy_entity,
    user,
)
from framegate.ocsf.techniques import attacks_of

REPORTS: Final = "framegate-reports"
VAULT: Final = "framegate-vault"


@maps(*(kind.value for kind in FindingKind if kind not in EXPORTS))
def site_finding(event: LoggedEvent) -> Mapped:
    """Something that a gateway or a line saw."""
    reason, count = event.member("reason"), event.member("count")
    attacks = attacks_of((reason,))
    finding: dict[str, Any] = {
        "uid": event.uid,
        "title": event.name,
        "desc": event.text("detail"),
        "types": [reason or event.name],
        "analytic": {"type_id": 1, "type": "Rule", "name": event.name},
        **({"attacks": attacks} if attacks else {}),
    }
    attributes = {"finding_info": finding, "status_id": 1, "status": "New"}
    again = {"count": int(count)} if count.isdecimal() else {}
    return Mapped(FINDING, 1, attributes | again)


@maps(*sorted(EXPORTS))
def frames_exported(event: LoggedEvent) -> Mapped:
    """An operator took frames out of a gateway's vault, and nobody had to approve."""
    count, taker = event.member("count"), event.member("reason")
    attributes: dict[str, Any] = {
        "databucket": {"type_id": 99, "type": "Frames", "name": VAULT},
        "actor": {"user": user(taker)},
        "src_endpoint": endpoint(event.text("device") or event.text("actor")),
        **({"count": int(count)} if count.isdecimal() else {}),
        **SUCCESS,
    }
    return Mapped(DATASTORE, 1, attributes)


@maps("verdict-reviewed")
def verdict_reviewed(event: LoggedEvent) -> Mapped:
    """Somebody says whether a verdict was right."""
    finding: dict[str, Any] = {
        "uid": event.member("verdict_id") or event.uid,
        "title": event.name,
        "desc": event.text("detail"),
        "types": [event.member("because") or event.name],
        "analytic": {"type_id": 1, "type": "Rule", "name": event.name},
    }
    resolved = {"finding_info": finding, "status_id": 4, "status": "Resolved"}
    return Mapped(FINDING, OTHER, resolved, other="Review")


def _incident(event: LoggedEvent, activity: int, status: int) -> Mapped:
    number = event.member("incident") or str(event.index)
    assignee = event.member("assignee")
    finding = {"uid": number, "title": event.member("title") or f"incident {number}"}
    attributes: dict[str, Any] = {
        "finding_info_list": [finding],
        "status_id": status,
        "status": {1: "New", 2: "In Progress", 5: "Closed"}[status],
        "assignee_group": {"name": "security"},
        **({"assignee": {"name": assignee, "uid": assignee, "type_id": 1}} if assignee else {}),
    }
    if status == 5:
        attributes["status_detail"] = event.member("verdict")
    return Mapped(INCIDENT, activity, attributes)


@maps("incident-opened")
def incident_opened(event: LoggedEvent) -> Mapped:
    """An incident was opened."""
    return _incident(event, 1, 1)


@maps("incident-linked", "incident-step", "incident-noted", "incident-assigned")
def incident_changed(event: LoggedEvent) -> Mapped:
    """Somebody, or the record, went on with one."""
    return _incident(event, 2, 2)


@maps("incident-closed")
def incident_closed(event: LoggedEvent) -> Mapped:
    """One is over."""
    return _incident(event, 3, 5)


@maps("drill-declared")
def drill_declared(event: LoggedEvent) -> Mapped:
    """What is found for a while is a drill."""
    return Mapped(ENTITY, 10, {"entity": policy_entity("drill"), **SUCCESS})


def _report(event: LoggedEvent, activity: int, other: str = "", failed: str = "") -> Mapped:
    status = FAILURE | {"status_detail": failed} if failed else dict(SUCCESS)
    return Mapped(EVENT_LOG, activity, {"log_name": REPORTS, **status}, other=other)


@maps("report-store-new", "report-resumed")
def reports_began(event: LoggedEvent) -> Mapped:
    """Reports come, or come again."""
    return _report(event, 6)


@maps("report-withheld")
def reports_withheld(event: LoggedEvent) -> Mapped:
    """None came for long."""
    return _report(event, 7, failed="withheld")


@maps("report-refused")
def report_refused(event: LoggedEvent) -> Mapped:
    """One was forged, cut or forked."""
    return _report(event, OTHER, other="Refuse", failed=event.member("reason") or "refused")


@maps("report")
def report_kept(event: LoggedEvent) -> Mapped:
    """A report came into the record."""
    reporter = event.text("reporter") or event.text("actor")
    about = {"device": device_of(reporter)} if reporter else {}
    mapped = _report(event, OTHER, other="Append")
    return Mapped(mapped.kind, OTHER, {**mapped.attributes, **about}, other="Append")


@maps("goals-set")
def goals_set(event: LoggedEvent) -> Mapped:
    """Goals are in force."""
    return Mapped(ENTITY, 10, {"entity": policy_entity("goals"), **SUCCESS})


@maps("posture-stated")
def posture_stated(event: LoggedEvent) -> Mapped:
    """Somebody said what only a person knows."""
    return Mapped(ENTITY, 1, {"entity": policy_entity("statement of posture"), **SUCCESS})


def _goal(event: LoggedEvent, activity: int, status: int) -> Mapped:
    goal, target = event.member("goal") or event.uid, event.member("target")
    compliance: dict[str, Any] = {
        "control": goal,
        "requirements": [f"{event.member('fact')} {target}"],
        "standards": ["the fleet's own goals"],
        "status_id": 1 if activity == 3 else 3,
        "status": "Pass" if activity == 3 else "Fail",
        "status_details": [event.member("actual")],
    }
    attributes = {
        "compliance": compliance,
        "finding_info": {"uid": event.uid, "title": event.name, "desc": event.text("detail")},
        "status_id": status,
        "status": {1: "New", 4: "Resolved"}[status],
    }
    return Mapped(COMPLIANCE, activity, attributes)


@maps("goal-missed")
def goal_missed(event: LoggedEvent) -> Mapped:
    """A goal is not met."""
    return _goal(event, 1, 1)


@maps("goal-met")
def goal_met(event: LoggedEvent) -> Mapped:
    """It is met again."""
    return _goal(event, 3, 4)
