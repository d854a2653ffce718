"""Events about the fleet as a whole in OCSF."""

from __future__ import annotations

from typing import Final

from framegate.ocsf.classes import APPLICATION, ENTITY, EVENT_LOG, OTHER
from framegate.ocsf.logged import LoggedEvent
from framegate.ocsf.mapping import (
    FAILURE,
    SUCCESS,
    Mapped,
    entity,
    maps,
    policy_entity,
    zone_entity,
)

RECORD: Final = "framegate-record"
"""The name of the append-only log, as `log_name` has it."""


def _zone(event: LoggedEvent, activity: int) -> Mapped:
    return Mapped(ENTITY, activity, {"entity": zone_entity(event.member("zone")), **SUCCESS})


@maps("zone-set")
def zone_set(event: LoggedEvent) -> Mapped:
    """A zone's rules changed."""
    return _zone(event, 3)


@maps("zone-frozen")
def zone_frozen(event: LoggedEvent) -> Mapped:
    """Changes in a zone are barred."""
    return _zone(event, 12)


@maps("zone-thawed")
def zone_thawed(event: LoggedEvent) -> Mapped:
    """Changes are allowed again."""
    return _zone(event, 13)


@maps("policy-applied")
def policy_applied(event: LoggedEvent) -> Mapped:
    """An access policy is in force."""
    return Mapped(ENTITY, 10, {"entity": policy_entity(event.member("policy")), **SUCCESS})


@maps("profile-added")
def profile_added(event: LoggedEvent) -> Mapped:
    """A signed firmware profile is kept."""
    return Mapped(ENTITY, 1, {"entity": policy_entity(event.member("profile")), **SUCCESS})


def _thing(activity: int, kind: str, name: str) -> Mapped:
    return Mapped(ENTITY, activity, {"entity": entity(kind, name), **SUCCESS})


@maps("profile-signer-revoked")
def signer_revoked(event: LoggedEvent) -> Mapped:
    """A profile signer's word counts no more."""
    return _thing(9, "Signer", event.member("signer"))


@maps("tpm-ca-added")
def tpm_maker_added(event: LoggedEvent) -> Mapped:
    """A TPM maker's CA is trusted."""
    return _thing(1, "Certificate Authority", event.member("subject"))


@maps("ca-made")
def ca_made(event: LoggedEvent) -> Mapped:
    """The next generation of an issuing CA."""
    return _thing(1, "Certificate Authority", event.member("label"))


@maps("ca-rotated")
def ca_rotated(event: LoggedEvent) -> Mapped:
    """It signs from now on."""
    return _thing(3, "Certificate Authority", event.member("label"))


@maps("ca-forgotten")
def ca_forgotten(event: LoggedEvent) -> Mapped:
    """Nothing that an old one signed can be alive."""
    return _thing(4, "Certificate Authority", event.member("label"))


@maps("key-certified")
def key_certified(event: LoggedEvent) -> Mapped:
    """A signing key has a new certificate."""
    return _thing(3, "Signing Key", event.member("label"))


@maps("certificate-handed-out")
def certificate_handed_out(event: LoggedEvent) -> Mapped:
    """Somebody made a certificate for a line, an enforcer or a server."""
    return _thing(1, "Certificate", event.member("subject"))


@maps("rollout-started")
def rollout_started(event: LoggedEvent) -> Mapped:
    """A new revision is on its way."""
    return _thing(1, "Rollout", event.member("rollout"))


@maps("rollout-shadow")
def rollout_shadow(event: LoggedEvent) -> Mapped:
    """It is only looked at so far."""
    return _thing(3, "Rollout", event.member("rollout"))


@maps("rollout-running", "rollout-enforced")
def rollout_active(event: LoggedEvent) -> Mapped:
    """It goes on, or counts."""
    return _thing(10, "Rollout", event.member("rollout"))


@maps("rollout-paused")
def rollout_paused(event: LoggedEvent) -> Mapped:
    """It waits."""
    return _thing(12, "Rollout", event.member("rollout"))


@maps("rollout-retired")
def rollout_retired(event: LoggedEvent) -> Mapped:
    """The revision before counts no more."""
    return _thing(4, "Rollout", event.member("rollout"))


@maps("rollout-aborted")
def rollout_aborted(event: LoggedEvent) -> Mapped:
    """It was given up."""
    return _thing(11, "Rollout", event.member("rollout"))


@maps("part-set")
def part_set(event: LoggedEvent) -> Mapped:
    """A part's golden images and rules changed."""
    return _thing(3, "Part", event.member("part_type"))


@maps("part-removed")
def part_removed(event: LoggedEvent) -> Mapped:
    """A part was taken away."""
    return _thing(4, "Part", event.member("part_type"))


def _model(event: LoggedEvent, activity: int) -> Mapped:
    app = {"name": event.member("model") or "model", "uid": event.member("digest")}
    return Mapped(APPLICATION, activity, {"app": app, **SUCCESS})


@maps("model-registered")
def model_registered(event: LoggedEvent) -> Mapped:
    """A signed model bundle is known."""
    return _model(event, 1)


@maps("model-approved")
def model_approved(event: LoggedEvent) -> Mapped:
    """It may be put in force."""
    return _model(event, 6)


@maps("model-withdrawn")
def model_withdrawn(event: LoggedEvent) -> Mapped:
    """It may be no more."""
    return _model(event, 7)


@maps("model-promoted", "model-rolled-back")
def model_in_force(event: LoggedEvent) -> Mapped:
    """A model is in force in a zone."""
    return _model(event, 8)


@maps("registry-backed-up")
def registry_backed_up(event: LoggedEvent) -> Mapped:
    """A backup was written."""
    return Mapped(EVENT_LOG, 4, {"log_name": RECORD, **SUCCESS})


@maps("registry-restored")
def registry_restored(event: LoggedEvent) -> Mapped:
    """The registry began again from a backup: entries may be lost."""
    attributes = {"log_name": RECORD, "status_detail": event.text("detail"), **SUCCESS}
    return Mapped(EVENT_LOG, OTHER, attributes, other="Restore")


def _sink(event: LoggedEvent, activity: int, status: dict[str, object]) -> Mapped:
    about = {"log_name": RECORD, "dst_endpoint": {"svc_name": event.member("sink") or "unknown"}}
    return Mapped(EVENT_LOG, activity, {**about, **status})


@maps("siem-added")
def siem_added(event: LoggedEvent) -> Mapped:
    """The record goes to one sink more."""
    return _sink(event, 9, dict(SUCCESS))


@maps("siem-removed")
def siem_removed(event: LoggedEvent) -> Mapped:
    """The record goes there no more."""
    return _sink(event, 10, dict(SUCCESS))


@maps("siem-tested")
def siem_tested(event: LoggedEvent) -> Mapped:
    """An entry to see arrive."""
    return _sink(event, 3, dict(SUCCESS))


@maps("siem-silent")
def siem_silent(event: LoggedEvent) -> Mapped:
    """A sink has confirmed nothing for long."""
    return _sink(event, 7, FAILURE | {"status_detail": event.member("why")})


@maps("siem-back")
def siem_back(event: LoggedEvent) -> Mapped:
    """It confirms again."""
    return _sink(event, 6, dict(SUCCESS))


@maps("siem-dead-letter")
def siem_dead_letter(event: LoggedEvent) -> Mapped:
    """A sink will not have some entries."""
    return _sink(event, 3, FAILURE | {"status_detail": event.member("why")})
