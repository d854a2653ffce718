"""N110, N119: the record against whoever edits it, approvals against whoever wants to do without
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from framegate.errors import FramegateError
from framegate.record.verify import FORMAT, AuditRefused, LogAnchor, verify_log
from framegate.record.witness import head_line
from framegate_operator.asked_content import read_asked
from framegate_operator.connection import load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt

RACERS = 5


@attempt(
    "N110",
    "the audit log exported and edited, dropped from, reordered, repeated, cut, cut with its heads,"
    " emptied",
)
def n110(t: Target) -> Seen:
    with operator_stub(t.context) as stub:
        head = stub.LogHead(pb.LogHeadRequest(all=True))
        entries = [r.entry for r in stub.ReadLog(pb.ReadLogRequest(limit=head.size), stream=True)]
    heads, anchor = (
        [head_line(h) for h in (*head.earlier, head.checkpoint)],
        LogAnchor(root=t.context.root_certificate),
    )

    def said(rows: Sequence[bytes], signed: Sequence[bytes]) -> str:
        header = json.dumps({"format": FORMAT, "fleet": head.fleet, "entries": len(rows)}).encode()
        try:
            verify_log(
                [header, *rows, *signed], anchor, [head_line(head.checkpoint)]
            )  # the last head is what an auditor kept
        except AuditRefused as refused:
            return f"{refused.check} at {refused.entry}"
        return "accepted"

    at = len(entries) // 2
    changed = [
        said(
            [*entries[:at], entries[at].replace(b'"at_ms":1', b'"at_ms":2'), *entries[at + 1 :]],
            heads,
        ),
        said([*entries[:at], *entries[at + 1 :]], heads),
        said([*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]], heads),
        said([*entries, entries[-1]], heads),
        said(entries[:-1], heads),
        said(entries[:at], heads[:1]),
        said([], []),
    ]
    return Seen(
        said(entries, heads) == "accepted" and "accepted" not in changed, "; ".join(changed)
    )


@attempt(
    "N119",
    "one's own approval, content swapped after it, one approval used by five at once, an approver"
    " disabled in between",
)
def n119(t: Target) -> Seen:
    people = t.plant.add_person(
        "sara", "security"
    )  # from now on decisions take two, and nobody is admin for good
    with ExitStack() as stack:
        anna, sara = (
            stack.enter_context(operator_stub(load_context(c))) for c in (t.plant.context, people)
        )
        seen = [_own(anna), _swapped(anna, sara), _raced(anna, sara), _disabled(t, anna, sara)]
    return Seen(all(refused for refused, _ in seen), "; ".join(text for _, text in seen))


def _zone(text: str) -> pb.SetZoneRequest:
    return pb.SetZoneRequest(zone="line-1", remark=text, set_remark=True)


def _reason(work: Callable[[], Any]) -> tuple[str, str]:
    try:
        work()
    except FramegateError as error:
        request = re.search(r"approve ([0-9a-f]{8})", error.failures[0].hint)
        return error.reason.value, request[1] if request else ""
    return "accepted", ""


def _yes(somebody: Any, request: str) -> None:
    """Somebody approves what they are shown, as `framegate access approve` does."""
    shown = read_asked(somebody.ShowAccess(pb.ShowAccessRequest(id=request)))
    somebody.DecideAccess(pb.DecideRequest(id=request, approve=True, content_sha256=shown.digest))


def _own(anna: Any) -> tuple[bool, str]:
    _, request = _reason(lambda: anna.SetZone(_zone("own")))
    said, _ = _reason(lambda: _yes(anna, request))
    return said != "accepted", f"own: {said}"


def _swapped(anna: Any, sara: Any) -> tuple[bool, str]:
    _, request = _reason(lambda: anna.SetZone(_zone("harmless")))
    _yes(sara, request)
    said, _ = _reason(lambda: anna.SetZone(_zone("harmful")))
    return said != "accepted", f"swapped: {said}"


def _raced(anna: Any, sara: Any) -> tuple[bool, str]:
    _, request = _reason(lambda: anna.SetZone(_zone("once")))
    _yes(sara, request)
    with ThreadPoolExecutor(RACERS) as pool:
        said = list(
            pool.map(lambda _: _reason(lambda: anna.SetZone(_zone("once")))[0], range(RACERS))
        )
    return said.count("accepted") == 1, f"raced: {said.count('accepted')} of {RACERS}"


def _disabled(t: Target, anna: Any, sara: Any) -> tuple[bool, str]:
    """Sven's word, and then sven is disabled. At the end sara gives the campaign its quorum of one
    back.
    """
    asked = anna.RequestRole(pb.RoleRequest(role="admin", zone="*", minutes=30, reason="campaign"))
    _yes(sara, asked.id)
    _, adding = _reason(
        lambda: anna.AddOperator(pb.AddOperatorRequest(name="sven", roles=["security"]))
    )
    _yes(sara, adding)
    with operator_stub(load_context(t.plant.add_person("sven", "security"))) as sven:
        _, request = _reason(lambda: anna.SetZone(_zone("late")))
        _yes(sven, request)
        anna.DisableOperator(pb.DisableOperatorRequest(name="sven", reason="campaign"))
        said, _ = _reason(lambda: anna.SetZone(_zone("late")))
        gone, _ = _reason(lambda: sven.WhoAmI(pb.WhoAmIRequest()))
    _, one = _reason(lambda: anna.SetQuorum(pb.QuorumRequest(value=1)))
    _yes(sara, one)
    restored, _ = _reason(lambda: anna.SetQuorum(pb.QuorumRequest(value=1)))
    return (
        said != "accepted" and gone != "accepted" and restored == "accepted",
        f"approver disabled: {said}, {gone}",
    )
