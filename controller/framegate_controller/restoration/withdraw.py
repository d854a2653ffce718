"""What a restored registry must not go on with: whatever may have been used, taken back or decided
otherwise after the backup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from framegate.federation.receipts import SiteStanding
from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.machines.request import RequestEvent, RequestKind, RequestState
from framegate.machines.rollout import RolloutState
from framegate.registry.device import Baseline, Device, Standing
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.rollouts import change_rollout
from framegate_controller.people.factors import TOTP_STEP_S
from framegate_controller.people.operators import disable, end_sessions
from framegate_controller.people.signin import withdraw_break_glass
from framegate_controller.people.visits import withdraw_site
from framegate_controller.store.ports import CONTROLLER, Transaction

WHY = "the registry was restored from a backup"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Something that is void now: `what` and how much of it, and what to do next."""

    what: str
    count: int
    next: str

    def __str__(self) -> str:
        return f"{self.count} {self.what}"


def withdraw_all(
    tx: Transaction, held: Mapping[str, str], barred: Sequence[str]
) -> list[Withdrawn]:
    """Withdraw, in the transaction of a restoration; what there was of each.

    1. machines: results, what evidence is held against, gateway processes; who was trusted is
    stale, and comes back by fresh evidence with whole logs alone. 2. machines that are known to
    have been held since (`held`: device to state) are quarantined. 3. unused tickets. 4. sessions,
    enrolment codes, recovery codes, and codes of this moment's TOTP step. 5. operators known to
    have been disabled since (`barred`). 6. requests, approvals and roles for a while; a review of
    the sealed credential's use stays. 7. the sealed credential. 8. running rollouts pause. 9. other
    sites: whether one was withdrawn since is not known.
    """
    machines = _machines(tx)
    kept = [
        Withdrawn("machines' results", machines, "each attests anew by itself, with whole logs"),
        Withdrawn(
            "machines held since",
            _hold(tx, held),
            "look at each: framegate camera release NAME --reason TEXT",
        ),
        Withdrawn(
            "unused tickets", len(tx.tickets.remove_unused()), "framegate camera invite NAME"
        ),
        *_people(tx, barred),
        Withdrawn("requests and approvals", _requests(tx), "ask again: framegate access request"),
        Withdrawn(
            "sealed credentials",
            int(withdraw_break_glass(tx)),
            "whether it was used since is not known: framegate-controller break-glass --out FILE",
        ),
        Withdrawn(
            "running rollouts, paused", _rollouts(tx), "framegate rollout resume ID --reason TEXT"
        ),
        Withdrawn("other sites", _sites(tx), "framegate site add NAME, of each that still counts"),
    ]
    return [w for w in kept if w.count]


def _machines(tx: Transaction) -> int:
    """1."""
    trusted = 0
    for device in tx.devices.all():
        if device.kind == Kind.GATEWAY:
            tx.gateways.replace(device.id, ())
        if device.state == State.TRUSTED:
            device = change_state(tx, device, Edge.LATE, why=WHY, by=CONTROLLER)
            trusted += 1
        # the counters' last values stay: a TPM whose reset count fell since is still found out
        clock = device.baseline.clock
        tx.devices.put(replace(device, standing=Standing(), baseline=Baseline(clock=clock)))
    return trusted


def _hold(tx: Transaction, held: Mapping[str, str]) -> int:
    """2."""
    count = 0
    for name, state in held.items():
        device: Device | None = tx.devices.get(name)
        if device is None or device.state in {State.QUARANTINED, State.RETIRED}:
            continue
        why = f"{state} in entries of the record that were lost; {WHY}"
        change_state(tx, device, Edge.QUARANTINE, why=why, by=CONTROLLER)
        count += 1
    return count


def _people(tx: Transaction, barred: Sequence[str]) -> list[Withdrawn]:
    """4 and 5."""
    sessions, codes, enrolments, disabled = 0, 0, 0, 0
    step = tx.now_ms // 1000 // TOTP_STEP_S
    for person in tx.people.all():
        sessions += end_sessions(tx, person.name)
        factors = person.factors
        codes += bool(factors.recovery)
        enrolments += bool(factors.enrolment)
        void = replace(
            factors,
            recovery=(),
            enrolment="",
            enrolment_expires_ms=0,
            totp_step=max(factors.totp_step, step) if factors.totp else factors.totp_step,
        )
        person = replace(person, factors=void)
        tx.people.put(person)
        if person.name in barred and person.enabled:
            disable(tx, person, f"disabled in entries that were lost; {WHY}")
            disabled += 1
    anew = "framegate operator reset-mfa NAME gives a new one"
    return [
        Withdrawn("sessions of people", sessions, "framegate login NAME"),
        Withdrawn("people's recovery codes", codes, anew),
        Withdrawn("enrolment codes", enrolments, anew),
        Withdrawn("operators disabled since", disabled, "framegate operator enable NAME"),
    ]


def _requests(tx: Transaction) -> int:
    """6."""
    count = 0
    for request in tx.requests.in_state((RequestState.PENDING, RequestState.APPROVED)):
        if request.kind == RequestKind.REVIEW:
            continue
        granted = request.kind == RequestKind.ROLE and request.state == RequestState.APPROVED
        ended = request.after(RequestEvent.END if granted else RequestEvent.EXPIRE)
        tx.requests.put(replace(ended, until_ms=min(request.until_ms, tx.now_ms)))
        count += 1
    return count


def _sites(tx: Transaction) -> int:
    """9."""
    trusted = [s for s in tx.sites.all() if s.standing is SiteStanding.TRUSTED]
    for site in trusted:
        withdraw_site(tx, site, by=CONTROLLER)
    return len(trusted)


def _rollouts(tx: Transaction) -> int:
    """8."""
    running = tx.rollouts.in_state((RolloutState.RUNNING,))
    for record in running:
        change_rollout(tx, record, "pause", CONTROLLER)
    return len(running)
