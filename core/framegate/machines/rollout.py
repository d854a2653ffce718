"""Rollouts as a state machine: a new revision of a firmware profile on its way into the fleet, step
by step, without a false alarm.

    shadow → canary → waves … → enforced → retired            paused ⇄ running            aborted

Before its step reaches it, a device that already runs the new firmware is *early*: a finding, no
compromise. From its step on it may run either. A device that matches neither is a failure, and too
many of them pause the rollout by themselves. Once enforced, a device still on the old firmware is
*overdue*; retiring the old revision ends that. Aborting takes nobody's trust: what already runs the
new firmware stays accepted until it is put back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.dsse import strict_json

MAX_SOAK_S: Final = 30 * 86400
"""A step longer than a month is no step but a forgotten rollout."""


class RolloutState(StrEnum):
    """Where a rollout stands. Only RUNNING advances by itself."""

    SHADOW = "shadow"
    RUNNING = "running"
    PAUSED = "paused"
    ENFORCED = "enforced"
    RETIRED = "retired"
    ABORTED = "aborted"


class Seen(StrEnum):
    """What one device's last evidence was, seen from a rollout."""

    WAITING = "waiting"  # matches the old revision
    UPDATED = "updated"  # matches the new one, and it was its turn
    EARLY = "early"  # matches the new one before its turn
    FAILED = "failed"  # matches neither
    OVERDUE = "overdue"  # matches only the old one after the window


@dataclass(frozen=True, slots=True)
class Plan:
    """`canary` devices first, then waves up to these percentages; at `max_fail` failures it pauses;
    each step lasts `soak_s` seconds.
    """

    canary: int
    waves: tuple[int, ...]
    max_fail: int
    soak_s: int
    shadow: bool

    def __post_init__(self) -> None:
        good = (
            self.canary >= 0
            and self.waves
            and list(self.waves) == sorted(set(self.waves))
            and self.waves[0] > 0
            and self.waves[-1] == 100
        )
        if not good or self.max_fail < 1 or not 0 <= self.soak_s <= MAX_SOAK_S:
            raise Malformed.of(
                Reason.USAGE,
                "canary of 0 or more, rising waves that end in 100, max-fail of 1 or more, soak of"
                f" at most {MAX_SOAK_S} s",
                f"canary {self.canary}, waves {','.join(map(str, self.waves))}, max-fail"
                f" {self.max_fail}, soak {self.soak_s}",
            )

    @property
    def steps(self) -> int:
        """Canary (where there is one) and waves."""
        return len(self.waves) + bool(self.canary)

    def step_name(self, step: int) -> str:
        """Step number in words."""
        if self.canary:
            return "canary" if step == 0 else f"wave {self.waves[step - 1]} %"
        return f"wave {self.waves[step]} %"

    def marshal(self) -> str:
        """JSON."""
        return json.dumps(
            {
                "canary": self.canary,
                "waves": list(self.waves),
                "max_fail": self.max_fail,
                "soak_s": self.soak_s,
                "shadow": self.shadow,
            }
        )


def parse_plan(text: str) -> Plan:
    """The plan in JSON of `marshal`. Raises Malformed."""
    body = strict_json(text.encode())
    try:
        return Plan(**{**body, "waves": tuple(body["waves"])})
    except (TypeError, KeyError) as error:
        raise Malformed.of(Reason.MALFORMED, "a rollout plan", type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout's state; times in ms. `step` counts from 0; it means nothing in SHADOW."""

    id: str
    plan: Plan
    state: RolloutState
    step: int
    step_ms: int

    def reaches(self, device_step: int) -> bool:
        """Whether the rollout has reached a device that stands in `device_step`."""
        if self.state in {RolloutState.ENFORCED, RolloutState.RETIRED}:
            return True
        return (
            self.state in {RolloutState.RUNNING, RolloutState.PAUSED}
            and self.step >= 0
            and device_step <= self.step
        )


def assign(rollout: str, plan: Plan, devices: Collection[str]) -> dict[str, int]:
    """Device to the step that reaches it: the order is a hash of rollout and device, so that no
    device is always first.
    """
    order = sorted(devices, key=lambda d: hashlib.sha256(f"{rollout}\0{d}".encode()).digest())
    steps: dict[str, int] = {}
    for position, device in enumerate(order):
        if plan.canary and position < plan.canary:
            steps[device] = 0
            continue
        share = 100 * (position + 1) / len(order)
        steps[device] = bool(plan.canary) + next(i for i, w in enumerate(plan.waves) if share <= w)
    return steps


def advance(rollout: Rollout, failed: int, now_ms: int) -> tuple[Rollout, str]:
    """The rollout after `failed` devices in reached steps match neither revision, and what
    happened, in words; empty where nothing did.

    1. at `max_fail` failures a running rollout pauses;
    2. a step that has soaked gives way to the next;
    3. after the last the revision is enforced.
    """
    if rollout.state != RolloutState.RUNNING:
        return rollout, ""
    if failed >= rollout.plan.max_fail:  # 1
        return (
            replace(rollout, state=RolloutState.PAUSED),
            f"paused: devices that match neither revision: {failed}",
        )
    if now_ms - rollout.step_ms < 1000 * rollout.plan.soak_s:
        return rollout, ""
    if rollout.step + 1 < rollout.plan.steps:  # 2
        return (
            replace(rollout, step=rollout.step + 1, step_ms=now_ms),
            f"{rollout.plan.step_name(rollout.step + 1)} begins",
        )
    return (
        replace(rollout, state=RolloutState.ENFORCED, step_ms=now_ms),
        "enforced: the new revision is what counts, the old one is overdue",
    )  # 3


_MOVES: Final = {
    "pause": ({RolloutState.RUNNING}, RolloutState.PAUSED),
    "resume": ({RolloutState.PAUSED, RolloutState.SHADOW}, RolloutState.RUNNING),
    "abort": (
        {RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.SHADOW},
        RolloutState.ABORTED,
    ),
    "retire": ({RolloutState.ENFORCED}, RolloutState.RETIRED),
}


def command(rollout: Rollout, verb: str, now_ms: int) -> Rollout:
    """The rollout after an operator's `pause`, `resume`, `abort` or `retire`. Raises Refused
    (TRANSITION) saying what is allowed now.
    """
    if verb not in _MOVES or rollout.state not in _MOVES[verb][0]:
        allowed = (
            ", ".join(v for v, (states, _) in _MOVES.items() if rollout.state in states)
            or "nothing"
        )
        raise Refused.of(
            Reason.TRANSITION, f"for a rollout that is {rollout.state}: {allowed}", verb
        )
    step = 0 if rollout.state == RolloutState.SHADOW and verb == "resume" else rollout.step
    return replace(rollout, state=_MOVES[verb][1], step=step, step_ms=now_ms)


def classify(*, old: bool, new: bool, reached: bool, enforced: bool) -> Seen:
    """What a device is to a rollout, from whether its evidence affirms the old and the new
    revision.
    """
    if old and not new:
        return Seen.OVERDUE if enforced else Seen.WAITING
    if new:
        return Seen.UPDATED if reached else (Seen.WAITING if old else Seen.EARLY)
    return Seen.FAILED
