"""From entries of the record to runs. The one place that decides what a playbook answers: the
controller follows the record with it, and a simulation replays the record with it, so that both
come to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framegate.access.caller import OPERATOR_PREFIX
from framegate.playbooks.actions import NATURES, Action, On
from framegate.playbooks.playbook import HOUR_MS, By, Mode, Never, Playbook
from framegate.playbooks.run import Run, Step, Verdict
from framegate.playbooks.sighting import Sighting
from framegate.playbooks.site import Site
from framegate.playbooks.windows import Cooling, Hour, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A playbook in force: its revision, and who put it in force (`people`)."""

    playbook: Playbook
    revision: int
    people: frozenset[str]


@dataclass(slots=True)
class _Counts:
    """What is remembered for one playbook in force."""

    of: InForce
    window: Window
    cooling: Cooling
    hour: Hour


class Planner:
    """Sees entries in the record's order. State, but no clock: time is what entries say."""

    def __init__(self) -> None:
        self._site = Site()
        self._in_force: dict[str, _Counts] = {}
        self._hours: dict[str, Hour] = {}
        self._zones: dict[str, Hour] = {}

    @property
    def in_force(self) -> Mapping[str, InForce]:
        """What runs now, by name."""
        return {name: counts.of for name, counts in self._in_force.items()}

    def put(self, enabled: InForce) -> None:
        """From the next entry on it runs. Of an earlier revision only the targets of the last hour
        are remembered: a new revision, or a stop in between, is no new cap.
        """
        when, name = enabled.playbook.when, enabled.playbook.name
        self._in_force[name] = _Counts(
            enabled,
            Window(when.count, when.window_ms),
            Cooling(enabled.playbook.cooldown_ms),
            self._hours.setdefault(name, Hour(HOUR_MS)),
        )

    def remove(self, name: str) -> None:
        """From the next entry on it runs no more."""
        self._in_force.pop(name, None)

    def see(self, sighting: Sighting) -> tuple[Run, ...]:
        """What playbooks answer to this entry, by name.

        1. what a playbook did is answered by none: two cannot run each other; 2. it is an entry
        that the playbook looks for; 3. as many came as it takes; 4. what it is about is not cooling
        down; 5. what is never touched is not; 6. shadow and ask do nothing by themselves;
        7. nothing is taken from whom somebody else named, unless a person says so (N217); 8. beyond
        the cap a person is asked.
        """
        self._site.see(sighting)
        if sighting.by_playbook:  # 1
            return ()
        answers = (self._answer(self._in_force[n], sighting) for n in sorted(self._in_force))
        return tuple(run for run in answers if run is not None)

    def _answer(self, counts: _Counts, sighting: Sighting) -> Run | None:
        playbook = counts.of.playbook
        if not _matches(playbook, sighting):  # 2
            return None
        if not counts.window.see(_group(playbook.when.by, sighting), sighting.at_ms):  # 3
            return None
        subject = _subject(playbook, sighting)
        if counts.cooling.cools(subject, sighting.at_ms):  # 4
            return None
        counts.cooling.begin(subject, sighting.at_ms)
        verdict, why = self._verdict(counts, sighting, subject)
        if verdict == Verdict.ACT:
            self._touched(counts, sighting, subject)
        return Run(
            playbook=playbook.name,
            revision=counts.of.revision,
            trigger=sighting.index,
            at_ms=sighting.at_ms,
            event=sighting.event,
            subject=subject,
            zone=sighting.zone,
            verdict=verdict,
            why=why,
            steps=_steps(playbook, sighting),
        )

    def _verdict(self, counts: _Counts, sighting: Sighting, subject: str) -> tuple[Verdict, str]:
        playbook = counts.of.playbook
        if why := self._never(counts.of, sighting):  # 5
            return Verdict.NEVER, why
        if playbook.mode != Mode.ACT:  # 6
            return Verdict(playbook.mode.value), ""
        if sighting.claimed and any(NATURES[a].contains for a in playbook.do):  # 7
            return Verdict.ASK, f"{subject} was named by somebody else, and may have done nothing"
        at = sighting.at_ms
        if not counts.hour.has_room(subject, playbook.cap.devices, at):  # 8
            return Verdict.ASK, f"cap: {playbook.cap.devices} an hour"
        room = self._site.size(sighting.zone) * playbook.cap.share // 100
        zone = self._zones.setdefault(sighting.zone, Hour(HOUR_MS))
        if _contains_device(playbook) and not zone.has_room(subject, room, at):
            return Verdict.ASK, f"cap: {playbook.cap.share} % of {sighting.zone} an hour"
        return Verdict.ACT, ""

    def _never(self, of: InForce, sighting: Sighting) -> str:
        """Why what it is about is never touched; empty where it may be."""
        playbook, never = of.playbook, of.playbook.never
        needed = {NATURES[a].on for a in playbook.do}
        for on in (On.DEVICE, On.ZONE, On.OPERATOR):
            if on in needed and not _target(on, sighting):
                return f"the entry names no {on}"
        spared = Action.QUARANTINE in playbook.do and Never.LAST_CAMERA in never
        if spared and self._site.is_last_camera(sighting.device):
            return f"the last camera of {sighting.zone}"
        if On.OPERATOR not in needed:
            return ""
        if self._site.broke_glass(sighting.operator, sighting.at_ms):
            return f"{sighting.operator} broke the glass"
        if sighting.operator in of.people | sighting.approved_by:
            return f"{sighting.operator} is an approver"
        return ""

    def _touched(self, counts: _Counts, sighting: Sighting, subject: str) -> None:
        counts.hour.add(subject, sighting.at_ms)
        if _contains_device(counts.of.playbook):
            self._zones.setdefault(sighting.zone, Hour(HOUR_MS)).add(subject, sighting.at_ms)
        if Action.QUARANTINE in counts.of.playbook.do:
            self._site.hold(sighting.device)


def _matches(playbook: Playbook, sighting: Sighting) -> bool:
    when = playbook.when
    return (
        (not when.events or sighting.event in when.events)
        and (not when.reasons or bool(when.reasons & sighting.reasons))
        and sighting.severity >= when.severity
        and (not when.zones or sighting.zone in when.zones)
    )


def _group(by: By, sighting: Sighting) -> str:
    match by:
        case By.DEVICE:
            return sighting.device or sighting.actor
        case By.ZONE:
            return sighting.zone
        case By.ACTOR:
            return sighting.actor
        case By.FLEET:
            return ""


def _contains_device(playbook: Playbook) -> bool:
    """Whether it takes something away from a line."""
    natures = (NATURES[a] for a in playbook.do)
    return any(n.contains and n.on == On.DEVICE for n in natures)


def _target(on: On, sighting: Sighting) -> str:
    match on:
        case On.DEVICE:
            return sighting.device
        case On.ZONE:
            return sighting.zone
        case On.OPERATOR:
            return sighting.operator
        case On.SUBJECT:
            return sighting.device or sighting.operator or sighting.zone or sighting.event


def _subject(playbook: Playbook, sighting: Sighting) -> str:
    """What it is about: caps and cooldowns count these."""
    natures = [NATURES[a] for a in playbook.do]
    first = next((n.on for n in natures if n.contains), natures[0].on)
    target = _target(first, sighting) or _target(On.SUBJECT, sighting)
    return f"{OPERATOR_PREFIX}{target}" if first == On.OPERATOR else target


def _steps(playbook: Playbook, sighting: Sighting) -> tuple[Step, ...]:
    return tuple(
        Step(number, action, _target(NATURES[action].on, sighting))
        for number, action in enumerate(playbook.do)
    )
