"""The log of decisions on the wire, for machines and for operators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.transparency.decision import Kind, Named
from framegate.transparency.following import LogAnswer
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.decisions import (
    ApprovedRelease,
    ApproveRelease,
    DecisionsRead,
    ReadDecisions,
)
from framegate_proto.v1 import framegate_pb2 as pb

MAX_WANTED: Final = 512
"""Decisions asked for at once: a policy, a pin, its models, and the profiles of a zone."""


def to_named(wanted: Iterable[pb.DecisionName]) -> tuple[Named, ...]:
    """What a machine asks for. Raises Malformed."""
    rows = list(wanted)
    if len(rows) > MAX_WANTED or not all(row.kind in set(Kind) for row in rows):
        text = f"at most {MAX_WANTED} decisions of known kinds"
        raise Malformed.of(Reason.MALFORMED, text, len(rows))
    return tuple(Named(Kind(row.kind), row.sha256) for row in rows)


def to_decisions(shown: LogAnswer | None) -> pb.FetchDecisionsReply:
    """What a machine is shown."""
    if shown is None:
        return pb.FetchDecisionsReply()
    return pb.FetchDecisionsReply(
        head=shown.note,
        certificate=shown.certificate,
        growth=shown.growth,
        proofs=[
            pb.DecisionProof(entry=i.entry, index=i.index, path=i.path) for i in shown.inclusions
        ],
    )


def _decisions(read: DecisionsRead, fleet: Fleet) -> pb.DecisionsReply:
    return pb.DecisionsReply(
        entries=read.entries,
        head=read.head,
        published=read.published,
        certificate=fleet.keys.signing["log"].der,
        key=read.key,
        require_cosigned=fleet.require_cosigned,
        witnesses=[
            pb.WitnessRow(
                key=w.witness,
                origin=w.origin,
                size=w.size,
                at_ms=w.at_ms,
                failing_ms=w.failing_ms,
                error=w.error,
            )
            for w in read.witnesses
        ],
    )


def _release(approved: ApprovedRelease, _fleet: Fleet) -> pb.ReleaseRow:
    return pb.ReleaseRow(version=approved.version, commit=approved.commit, sha256=approved.sha256)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ReadDecisions", ReadDecisions.parse, _decisions),
    Rpc("ApproveRelease", ApproveRelease.parse, _release),
)
