"""Metrics and checks of an agent: what it shows to whoever watches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from framegate.machines.lifecycle import State
from framegate.signed.statement import Outcome
from framegate_agent.camera.stream import CameraStream
from framegate_agent.progress import Progress
from framegate_host.telemetry.exposition import Exposition
from framegate_host.telemetry.families import (
    REASONS,
    SHARED,
    Family,
    FamilyKind,
    Label,
    Reading,
    each,
)
from framegate_host.telemetry.health import Checks

STATE: Final = Family(
    "framegate_agent_state",
    FamilyKind.GAUGE,
    "1 for the state the controller last said, 0 for the others.",
    (Label("state", frozenset(s.value for s in State)),),
)
ATTESTED: Final = Family(
    "framegate_agent_attestations_total", FamilyKind.COUNTER, "Attestations that were answered."
)
REJOINED: Final = Family(
    "framegate_agent_rejoins_total",
    FamilyKind.COUNTER,
    "Those of them at the join port, because the fleet port was of no use.",
)
FAILING: Final = Family(
    "framegate_agent_failures",
    FamilyKind.GAUGE,
    "1 for each reason for which the last attestation failed.",
    (Label("reason", REASONS),),
)
CERTIFICATE: Final = Family(
    "framegate_agent_certificate_life_seconds",
    FamilyKind.GAUGE,
    "How long this machine's certificate still lives; 0 where there is none.",
)
BEHIND: Final = Family(
    "framegate_agent_controller_behind",
    FamilyKind.GAUGE,
    "1 while the controller is refused as older than what was seen of it.",
)
CAPTURED: Final = Family(
    "framegate_agent_frames_total", FamilyKind.COUNTER, "Frames that sources gave."
)
VERDICTS: Final = Family(
    "framegate_agent_verdicts_total",
    FamilyKind.COUNTER,
    "Verified verdicts on this machine's frames, and frames that never left it.",
    (Label("outcome", frozenset(o.value for o in Outcome)),),
)
UNINSPECTED: Final = Family(
    "framegate_agent_uninspected_total",
    FamilyKind.COUNTER,
    "Those that were not inspected, by reason.",
    (Label("reason", REASONS),),
)
SOURCES: Final = Family(
    "framegate_agent_sources",
    FamilyKind.GAUGE,
    "Sources by whether a gateway takes their frames.",
    (Label("standing", frozenset({"streaming", "waiting", "ended"})),),
)
GATEWAYS: Final = Family(
    "framegate_agent_gateway_processes",
    FamilyKind.GAUGE,
    "Gateway processes at this agent's socket.",
)
FAMILIES: Final = (
    *SHARED,
    STATE,
    ATTESTED,
    REJOINED,
    FAILING,
    CERTIFICATE,
    BEHIND,
    CAPTURED,
    VERDICTS,
    UNINSPECTED,
    SOURCES,
    GATEWAYS,
)
"""All of an agent's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetrics:
    """Reads what an agent shows."""

    progress: Callable[[], Progress]
    streams: Sequence[CameraStream]
    exposition: Exposition = field(default_factory=lambda: Exposition(FAMILIES))

    @property
    def checks(self) -> Checks:
        """What has to hold for this machine to do its work."""
        return Checks(
            [
                ("trusted", self._trusted),
                ("certificate", self._certificate_lives),
                ("controller", lambda: "older than was seen" if self.progress().behind else ""),
            ]
        )

    async def read(self) -> list[Reading]:
        """Every series of this moment."""
        return list(self._readings())

    def _readings(self) -> Iterator[Reading]:
        now = self.progress()
        yield from each(STATE, {now.state.state: 1})
        yield Reading(ATTESTED, now.attested)
        yield Reading(REJOINED, now.rejoined)
        yield from each(FAILING, dict.fromkeys((f.reason.value for f in now.failures), 1.0))
        yield Reading(CERTIFICATE, max(0.0, now.certificate_s))
        yield Reading(BEHIND, now.behind)
        yield Reading(GATEWAYS, now.gateways)
        yield Reading(CAPTURED, sum(s.captured for s in self.streams))
        tallies = [s.tally for s in self.streams]
        yield from each(VERDICTS, sum((t.outcomes for t in tallies), Counter[str]()))
        yield from each(UNINSPECTED, sum((t.uninspected for t in tallies), Counter[str]()))
        yield from each(SOURCES, Counter(map(_standing, self.streams)))

    def _trusted(self) -> str:
        now = self.progress()
        if now.state.state == State.TRUSTED:
            return ""
        return "; ".join([now.state.state, *(f.reason.value for f in now.failures)])

    def _certificate_lives(self) -> str:
        return "" if self.progress().certificate_s > 0 else "none that lives"


def _standing(stream: CameraStream) -> str:
    if stream.source_ended:
        return "ended"
    return "streaming" if stream.lease is not None else "waiting"
