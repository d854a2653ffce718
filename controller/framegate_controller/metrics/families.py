"""The metrics of a controller, as they are declared."""

from __future__ import annotations

from typing import Final

from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.machines.request import RequestState
from framegate.record.event import Severity
from framegate.record.events import events
from framegate_controller.ca.keys import ISSUING
from framegate_host.telemetry.families import REASONS, SHARED, Family, FamilyKind, Label
from framegate_proto.call_times import CALLS, OUTCOMES

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""An attestation takes some ten milliseconds, most verbs fewer."""
DEVICES: Final = Family(
    "framegate_devices",
    FamilyKind.GAUGE,
    "Machines of the fleet.",
    (
        Label("zone", None),
        Label("kind", frozenset(k.value for k in Kind)),
        Label("state", frozenset(s.value for s in State)),
    ),
)
RESULT: Final = Family(
    "framegate_device_result_timestamp_seconds",
    FamilyKind.GAUGE,
    "When a trusted machine last proved itself; gone when it is trusted no more.",
    (Label("device", None),),
)
EVENTS: Final = Family(
    "framegate_events_total",
    FamilyKind.COUNTER,
    "Entries of the record since this process started, by event.",
    (Label("event", frozenset(events())),),
)
SEVERE: Final = Family(
    "framegate_events_by_severity_total",
    FamilyKind.COUNTER,
    "The same by severity.",
    (Label("severity", frozenset(s.name.lower() for s in Severity)),),
)
REFUSALS: Final = Family(
    "framegate_refusals_total",
    FamilyKind.COUNTER,
    "Reasons in the record's evidence-refused, denied and strangers-refused, since the start.",
    (Label("reason", REASONS),),
)
FAILED_SIGN_INS: Final = Family(
    "framegate_sign_ins_failed_total",
    FamilyKind.COUNTER,
    "Sign-ins that failed, those that were recorded together counted each.",
)
ENTRIES: Final = Family(
    "framegate_record_entries", FamilyKind.GAUGE, "Entries of the record, from its beginning."
)
UNREAD: Final = Family(
    "framegate_record_unread_entries",
    FamilyKind.GAUGE,
    "Entries that counters and rules of behaviour have not read yet.",
)
AUTHORITY_ENDS: Final = Family(
    "framegate_authority_expiry_timestamp_seconds",
    FamilyKind.GAUGE,
    "When a certificate of the fleet's authorities ends.",
    (Label("authority", frozenset({"root", *ISSUING})),),
)
SESSIONS: Final = Family(
    "framegate_operator_sessions", FamilyKind.GAUGE, "Sessions of operators that stand."
)
REQUESTS: Final = Family(
    "framegate_access_requests",
    FamilyKind.GAUGE,
    "Requests for roles and approvals that are not over.",
    (Label("state", frozenset({RequestState.PENDING.value, RequestState.APPROVED.value})),),
)
CHORES: Final = Family(
    "framegate_chore_success_timestamp_seconds",
    FamilyKind.GAUGE,
    "When a chore of the clockwork was last done.",
    (Label("chore", None),),  # named in the clockwork
)
LISTENERS: Final = Family(
    "framegate_listening_machines", FamilyKind.GAUGE, "Machines that listen for events now."
)
JOIN_CONNECTIONS: Final = Family(
    "framegate_join_port_connections", FamilyKind.GAUGE, "Connections at the join port now."
)
JOIN_CALLS: Final = Family(
    "framegate_join_port_calls", FamilyKind.GAUGE, "Calls that are under way on them."
)
JOIN_PASSED: Final = Family(
    "framegate_join_port_passed_total",
    FamilyKind.COUNTER,
    "Calls that the join port's process passed on to the controller, since it started.",
)
JOIN_TURNED_AWAY: Final = Family(
    "framegate_join_port_turned_away_total",
    FamilyKind.COUNTER,
    "Connections at the join port for which nobody gave way, since its process started.",
)
JOIN_MEMORY: Final = Family(
    "framegate_join_port_resident_memory_bytes",
    FamilyKind.GAUGE,
    "Resident memory of the join port's process.",
)
CALLS_TOTAL: Final = Family(
    "framegate_calls_total",
    FamilyKind.COUNTER,
    "Calls at the fleet port that ended, by what became of them.",
    (Label("call", CALLS), Label("outcome", OUTCOMES)),
)
CALL_TIMES: Final = Family(
    "framegate_call_duration_seconds",
    FamilyKind.HISTOGRAM,
    "How long calls with one answer took.",
    (Label("service", frozenset({"Fleet", "Operator"})),),
    SECONDS,
)
FAMILIES: Final = (
    *SHARED,
    DEVICES,
    RESULT,
    EVENTS,
    SEVERE,
    REFUSALS,
    FAILED_SIGN_INS,
    ENTRIES,
    UNREAD,
    AUTHORITY_ENDS,
    SESSIONS,
    REQUESTS,
    CHORES,
    LISTENERS,
    JOIN_CONNECTIONS,
    JOIN_CALLS,
    JOIN_PASSED,
    JOIN_TURNED_AWAY,
    JOIN_MEMORY,
    CALLS_TOTAL,
    CALL_TIMES,
)
"""All of a controller's."""
