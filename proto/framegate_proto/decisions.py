"""The log of decisions as machines ask the controller for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from framegate.transparency.decision import Named
from framegate.transparency.following import LogAnswer
from framegate.transparency.head import TreeHead
from framegate.transparency.proof import Inclusion
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

ANSWER_S: Final = 5.0
"""The controller reads some rows; whoever waits asks again."""


async def fetch_decisions(
    stub: Any, seen: TreeHead | None, wanted: Iterable[Named]
) -> LogAnswer | None:
    """What the controller shows to who saw the head `seen`, nothing verified; None where it has no
    head with enough cosignatures. Raises FramegateError.
    """
    call = stub.FetchDecisions(to_fetch_decisions(seen, wanted), timeout=ANSWER_S)
    return from_decisions(await answered(call, "is the controller running?"))


def to_fetch_decisions(seen: TreeHead | None, wanted: Iterable[Named]) -> pb.FetchDecisionsRequest:
    """The request of who saw the head `seen`, None for none."""
    return pb.FetchDecisionsRequest(
        origin=seen.origin if seen is not None else "",
        size=seen.size if seen is not None else 0,
        wanted=[pb.DecisionName(kind=n.kind, sha256=n.sha256) for n in wanted],
    )


def from_decisions(reply: pb.FetchDecisionsReply) -> LogAnswer | None:
    """What a reply shows, nothing verified."""
    if not reply.head:
        return None
    return LogAnswer(
        note=reply.head,
        certificate=reply.certificate,
        growth=tuple(reply.growth),
        inclusions=tuple(Inclusion(p.entry, p.index, tuple(p.path)) for p in reply.proofs),
    )
