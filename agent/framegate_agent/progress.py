"""What an agent knows of itself at one moment, and how its status file says it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from framegate.errors import Failure
from framegate_agent.camera.stream import CameraStream
from framegate_agent.state import AgentState


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an agent is: its state, how long its certificate lives in seconds, how often it has
    attested and rejoined, why it last failed, and how many gateway processes it serves.
    """

    state: AgentState
    certificate_s: float
    attested: int
    rejoined: int
    failures: tuple[Failure, ...]
    behind: bool
    gateways: int


def status_body(
    running: str,
    progress: Progress,
    failures: Sequence[Failure],
    streams: Sequence[CameraStream],
    masks: int,
) -> dict[str, Any]:
    """The status file's body; `masks` is the version of the masks in force."""
    outcomes = sum((s.tally.outcomes for s in streams), Counter[str]())
    uninspected = sum((s.tally.uninspected for s in streams), Counter[str]())
    latest = [v for s in streams for v in s.tally.latest]
    return {
        "running": running,
        "at": time.time(),
        "device": progress.state.device,
        "zone": progress.state.zone,
        "state": progress.state.state,
        "certificate_s": round(progress.certificate_s, 1),
        "attested": progress.attested,
        "rejoined": progress.rejoined,
        "failures": [[f.reason, f.expected, f.actual, f.hint] for f in failures],
        "controller": "behind" if progress.behind else "",
        "streams": [
            {
                "source": s.source,
                "gateway": s.lease.grant.host if s.lease else "",
                "problem": [str(f) for f in s.problem],
                "captured": s.captured,
                "ended": s.source_ended,
            }
            for s in streams
        ],
        "masks": masks,
        "resent": sum(s.resent for s in streams),
        "outcomes": dict(outcomes),
        "uninspected": dict(uninspected),
        "latest": [
            [v.verdict_id, v.part, v.outcome, v.reason, len(v.defects)] for v in latest[-5:]
        ],
        "gateways": progress.gateways,
    }
