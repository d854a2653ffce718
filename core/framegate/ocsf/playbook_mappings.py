"""What playbooks did, would have done and did not do, in OCSF."""

from __future__ import annotations

from typing import Any

from framegate.ocsf.classes import AUTHENTICATION, ENTITY, FINDING, OTHER
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import FAILURE, SUCCESS, Mapped, entity, maps, user


def _playbook(event: LoggedEvent, activity: int, other: str = "", failed: str = "") -> Mapped:
    status = FAILURE | {"status_detail": failed} if failed else dict(SUCCESS)
    about = entity("Playbook", event.member("playbook"))
    return Mapped(ENTITY, activity, {"entity": about, **status}, other=other)


@maps("playbook-enabled")
def playbook_enabled(event: LoggedEvent) -> Mapped:
    """One is in force, in a mode."""
    return _playbook(event, 10)


@maps("playbook-disabled")
def playbook_disabled(event: LoggedEvent) -> Mapped:
    """One is in force no more."""
    return _playbook(event, 11)


@maps("playbook-step")
def playbook_step(event: LoggedEvent) -> Mapped:
    """One acted."""
    return _playbook(event, OTHER, other="Act")


@maps("playbook-step-refused")
def playbook_step_refused(event: LoggedEvent) -> Mapped:
    """One wanted to act and may not, or could not."""
    return _playbook(event, OTHER, other="Act", failed=event.member("reason") or "refused")


@maps("playbook-shadowed")
def playbook_shadowed(event: LoggedEvent) -> Mapped:
    """One would have acted."""
    return _playbook(event, OTHER, other="Shadow")


@maps("playbook-held-back")
def playbook_held_back(event: LoggedEvent) -> Mapped:
    """A cap, a cooldown or a `never` kept one from acting."""
    return _playbook(event, OTHER, other="Hold Back")


@maps("playbook-asked")
def playbook_asked(event: LoggedEvent) -> Mapped:
    """One asks people whether it may act."""
    return _playbook(event, OTHER, other="Ask")


@maps("playbook-expired")
def playbook_expired(event: LoggedEvent) -> Mapped:
    """Nobody answered in time: what it asked for is not done."""
    return _playbook(event, OTHER, other="Expire")


@maps("playbook-notice", "incident-wanted")
def playbook_notice(event: LoggedEvent) -> Mapped:
    """One tells people of something, or wants an incident opened about it."""
    finding: dict[str, Any] = {
        "uid": event.uid,
        "title": event.member("summary") or event.name,
        "desc": event.text("detail"),
        "types": [event.name],
        "analytic": {"type_id": 1, "type": "Rule", "name": event.member("playbook")},
    }
    return Mapped(FINDING, 1, {"finding_info": finding, "status_id": 1, "status": "New"})


@maps("evidence-kept")
def evidence_kept(event: LoggedEvent) -> Mapped:
    """Evidence of a machine is kept from being collected."""
    about = entity("Evidence", event.member("evidence"))
    return Mapped(ENTITY, OTHER, {"entity": about, **SUCCESS}, other="Keep")


@maps("sessions-ended")
def sessions_ended(event: LoggedEvent) -> Mapped:
    """Somebody else ended a person's sessions."""
    attributes = {
        "user": user(event.member("operator")),
        "service": {"name": "framegate-controller"},
        "status_detail": event.member("why"),
    }
    return Mapped(AUTHENTICATION, 2, SUCCESS | attributes)
