"""N243: a part whose guard goes with a new version of it, and who is told."""

from __future__ import annotations

import json
from typing import Any, Final

from framegate.looks.kinds import KINDS, Look
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt

PART: Final = "kept-guard"
PNG: Final = b"\x89PNG\r\n\x1a\n"
"""How a golden image begins: nobody decodes this one."""
GUARD: Final = {
    "thresholds": [],
    "min_size_px": 4.0,
    "looks": [
        {
            "look": str(Look.RESIDUAL),
            "limit": KINDS[Look.RESIDUAL].weak,
            "share": 1.0,
            "frames": 240,
            "centre": 1.0,
            "spread": 0.5,
        }
    ],
}


@attempt("N243", "a part taken away and added again without its guard")
def n243(t: Target) -> Seen:
    t.sign_in_again()
    _added(t, GUARD)
    _added(t, {**GUARD, "min_size_px": 9.0})
    with operator_stub(t.context) as stub:
        stub.AddPart(pb.AddPartRequest(part_type=PART, remove=True))
    _added(t, {})
    first, larger, bare = _told(t)
    words = [larger.partition("WEAKER GUARD: ")[2], bare.partition("WEAKER GUARD: ")[2]]
    refused = "WEAKER" not in first and "9 px" in words[0] and "residual goes" in words[1]
    return Seen(refused, f"told: {'; '.join(words)}"[:300])


def _added(t: Target, rules: dict[str, Any]) -> None:
    request = pb.AddPartRequest(
        part_type=PART, goldens=[PNG], rules=json.dumps(rules).encode(), source="a lot"
    )
    with operator_stub(t.context) as stub:
        stub.AddPart(request)


def _told(t: Target) -> list[str]:
    """What the record has of each version of the part."""
    request = pb.ReadLogRequest(limit=1_000, event="part-set")
    with operator_stub(t.context) as stub:
        entries = [json.loads(row.entry) for row in stub.ReadLog(request, stream=True)]
    own = [e for e in entries if e["members"]["part_type"] == PART]
    return [e["detail"] for e in sorted(own, key=lambda e: e["index"])]
