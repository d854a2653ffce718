"""Events about people in OCSF."""

from __future__ import annotations

from typing import Any

from framegate.ocsf.classes import (
    ACCOUNT,
    API,
    AUTHENTICATION,
    ENTITY,
    FINDING,
    OTHER,
    USER_ACCESS,
)
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import (
    FAILURE,
    SUCCESS,
    Mapped,
    endpoint,
    entity,
    maps,
    policy_entity,
    user,
)
from framegate.ocsf.techniques import attacks_of_event
from framegate.record.event import Severity

_LOOKS = (".show", ".list", ".read", ".status", ".picture")


def _sign_in(event: LoggedEvent, activity: int, status: dict[str, Any], who: str) -> Mapped:
    attributes = {
        "user": user(who),
        "service": {"name": "framegate-controller"},
        "src_endpoint": endpoint(event.member("source") or event.text("source")),
        **status,
    }
    return Mapped(AUTHENTICATION, activity, attributes)


@maps("signed-in")
def signed_in(event: LoggedEvent) -> Mapped:
    """A person signed in, with two factors."""
    mapped = _sign_in(event, 1, SUCCESS | {"is_mfa": True}, event.text("actor"))
    return Mapped(mapped.kind, 1, {**mapped.attributes, "status_detail": event.member("method")})


@maps("break-glass-used")
def break_glass_used(event: LoggedEvent) -> Mapped:
    """A sealed credential was opened."""
    return _sign_in(event, 1, SUCCESS | {"status_detail": "break-glass"}, event.text("actor"))


@maps("sign-in-failed")
def sign_in_failed(event: LoggedEvent) -> Mapped:
    """Factors that do not belong together."""
    who = event.member("subject") or event.member("claimed") or "unknown"
    failed = FAILURE | {"status_detail": event.member("what") or "sign-in"}
    count = event.member("count")
    again = {"count": int(count)} if count.isdecimal() else {}
    return _sign_in(event, 1, failed | again, who)


@maps("signed-out")
def signed_out(event: LoggedEvent) -> Mapped:
    """A person ended their session."""
    return _sign_in(event, 2, dict(SUCCESS), event.text("actor"))


def _factor(event: LoggedEvent, status: dict[str, Any]) -> Mapped:
    mapped = _sign_in(event, OTHER, status | {"is_mfa": True}, event.text("actor"))
    return Mapped(mapped.kind, OTHER, mapped.attributes, other="Step-up")


@maps("factor-shown")
def factor_shown(event: LoggedEvent) -> Mapped:
    """A second factor was shown again."""
    return _factor(event, SUCCESS | {"status_detail": event.member("factor")})


@maps("factor-failed")
def factor_failed(event: LoggedEvent) -> Mapped:
    """It was wrong, or used."""
    return _factor(event, FAILURE | {"status_detail": "factor"})


@maps("security-key-suspected")
def security_key_suspected(event: LoggedEvent) -> Mapped:
    """A security key may have been copied."""
    finding = {
        "uid": event.uid,
        "title": "Security key may have been copied",
        "desc": event.text("detail"),
        "analytic": {"type_id": 1, "type": "Rule", "name": "signature counter"},
        "attacks": attacks_of_event(event.name),
    }
    return Mapped(FINDING, 1, {"finding_info": finding, "status_id": 1, "status": "New"})


def _account(event: LoggedEvent, activity: int, whom: str = "") -> Mapped:
    return Mapped(ACCOUNT, activity, {"user": user(whom or event.member("operator")), **SUCCESS})


@maps("security-key-added")
def security_key_added(event: LoggedEvent) -> Mapped:
    """A person registered a security key."""
    return _account(event, 10, event.text("actor"))


@maps("operator-enrolled")
def operator_enrolled(event: LoggedEvent) -> Mapped:
    """A person set password and second factor."""
    return _account(event, 3, event.text("actor"))


@maps("operator-added")
def operator_added(event: LoggedEvent) -> Mapped:
    """A new operator."""
    return _account(event, 1)


@maps("operator-enabled")
def operator_enabled(event: LoggedEvent) -> Mapped:
    """An operator was let in again."""
    return _account(event, 2)


@maps("operator-disabled")
def operator_disabled(event: LoggedEvent) -> Mapped:
    """An operator was barred."""
    return _account(event, 5)


@maps("operator-factors-reset")
def factors_reset(event: LoggedEvent) -> Mapped:
    """Every factor of an operator was forgotten."""
    return _account(event, 11)


def _access(activity: int, whom: str, privileges: tuple[str, ...]) -> Mapped:
    given = list(privileges) or ["none"]
    return Mapped(USER_ACCESS, activity, {"user": user(whom), "privileges": given, **SUCCESS})


@maps("operator-roles")
def operator_roles(event: LoggedEvent) -> Mapped:
    """Standing roles changed: those that were added, or where none was, those taken away."""
    before, after = event.many("before"), event.many("after")
    added = tuple(role for role in after if role not in before)
    taken = tuple(role for role in before if role not in after)
    return _access(1 if added else 2, event.member("operator"), added or taken)


@maps("set-up-ended")
def set_up_ended(event: LoggedEvent) -> Mapped:
    """The first operator is admin for good no more."""
    return _access(2, event.member("operator"), ("admin",))


@maps("role-granted")
def role_granted(event: LoggedEvent) -> Mapped:
    """A person holds a role for a while."""
    return _access(1, event.text("actor"), (event.member("summary"),))


@maps("role-ended")
def role_ended(event: LoggedEvent) -> Mapped:
    """Its time is over."""
    return _access(2, event.member("requester"), (event.member("summary"),))


def _credential(event: LoggedEvent, activity: int) -> Mapped:
    return Mapped(ENTITY, activity, {"entity": entity("Credential", "break-glass"), **SUCCESS})


@maps("break-glass-sealed")
def break_glass_sealed(event: LoggedEvent) -> Mapped:
    """A new sealed credential."""
    return _credential(event, 1)


@maps("break-glass-reviewed")
def break_glass_reviewed(event: LoggedEvent) -> Mapped:
    """Somebody else has looked into its use."""
    return _credential(event, 2)


@maps("quorum-set")
def quorum_set(event: LoggedEvent) -> Mapped:
    """How many people a decision takes."""
    return Mapped(ENTITY, 3, {"entity": policy_entity("quorum"), **SUCCESS})


def _call(event: LoggedEvent, activity: int, operation: str, verdict: bool | None = None) -> Mapped:
    attributes: dict[str, Any] = {
        "api": {"operation": operation},
        "src_endpoint": endpoint(event.text("source")),
    }
    if verdict is None:
        return Mapped(API, activity, attributes | SUCCESS)
    decided = {
        "action_id": 1 if verdict else 2,
        "action": "Allowed" if verdict else "Denied",
        "disposition_id": 1 if verdict else 2,
        "disposition": "Allowed" if verdict else "Blocked",
        "policy": {"name": ", ".join(event.texts("policies")) or "access policy"},
        **(SUCCESS if verdict else FAILURE),
    }
    return Mapped(API, activity, attributes | decided, profiles=("security_control",))


@maps("access-asked")
def access_asked(event: LoggedEvent) -> Mapped:
    """Somebody asks for a role, or for others' approval."""
    return _call(event, 1, "access.request")


@maps("access-approved")
def access_approved(event: LoggedEvent) -> Mapped:
    """Somebody said yes."""
    return _call(event, 3, "access.approve")


@maps("access-denied")
def access_denied(event: LoggedEvent) -> Mapped:
    """Somebody said no."""
    return _call(event, 3, "access.approve")


@maps("approval-taken")
def approval_taken(event: LoggedEvent) -> Mapped:
    """An approval was signed for gateways."""
    return _call(event, 2, "access.take")


def _activity_of(verb: str) -> int:
    return 2 if verb.endswith(_LOOKS) else 3


@maps("allowed")
def verb_allowed(event: LoggedEvent) -> Mapped:
    """The access policy said yes."""
    verb = event.member("verb")
    return _call(event, _activity_of(verb), verb, True)


@maps("denied")
def verb_denied(event: LoggedEvent) -> Mapped:
    """The access policy said no."""
    verb = event.member("verb")
    mapped = _call(event, _activity_of(verb), verb, False)
    attributes = {**mapped.attributes, "status_detail": event.member("reason")}
    return Mapped(mapped.kind, mapped.activity, attributes, profiles=mapped.profiles)


@maps("behaviour-noticed")
def behaviour_noticed(event: LoggedEvent) -> Mapped:
    """What somebody did met a rule of behaviour."""
    rule = event.member("rule")
    finding = {
        "uid": event.uid,
        "title": event.member("what") or rule,
        "desc": event.text("detail"),
        "analytic": {"type_id": 2, "type": "Behavioral", "name": rule or "rule"},
        "attacks": attacks_of_event(event.name),
    }
    rank = event.member("rank")
    severity = Severity(int(rank)) if rank in {"1", "2", "3", "4", "5"} else None
    attributes = {"finding_info": finding, "status_id": 1, "status": "New"}
    return Mapped(FINDING, 1, attributes, severity=severity)
