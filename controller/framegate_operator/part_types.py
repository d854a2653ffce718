"""Part types as gateways see them: how often, when last, and which they know nothing of."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate.signed.statement import Outcome, Verdict
from framegate_host.console import safe, show_failures, talk
from framegate_operator.connection import gateway_stub, gateways
from framegate_operator.contexts import OperatorContext
from framegate_operator.verdict_names import handed_out
from framegate_proto.v1 import framegate_pb2 as pb

LOOKED_AT: Final = 500
"""Latest verdicts of a gateway that are looked through: minutes of a line, and what it answers at
most.
"""
LOOK_S: Final = 1.0
"""Between two looks for a new part type: somebody waits, and each look reads hundreds of verdicts.
"""


@dataclass(frozen=True, slots=True)
class SeenType:
    """A part type among the latest verdicts: of how many, when last (ms), and whether the last one
    that says so says that the gateway knows no such part. One that was never inspected, for
    another reason, says nothing of that.
    """

    part_type: str
    count: int
    last_ms: int
    unknown: bool


def seen_types(verdicts: Iterable[Verdict]) -> list[SeenType]:
    """The part types of `verdicts`, unknown ones first, then by name."""
    seen: dict[str, SeenType] = {}
    for v in sorted(verdicts, key=lambda v: v.issued_at_ms):
        before = seen.get(v.part_type)
        count, unknown = (before.count, before.unknown) if before is not None else (0, False)
        if v.outcome != Outcome.UNINSPECTED or v.reason == Reason.PART_UNKNOWN:
            unknown = v.reason == Reason.PART_UNKNOWN
        seen[v.part_type] = SeenType(v.part_type, count + 1, v.issued_at_ms, unknown)
    return sorted(seen.values(), key=lambda s: (not s.unknown, s.part_type))


@dataclass(frozen=True, slots=True)
class Asked:
    """Types that gateways saw, and whether all that stand were asked: else there may be more."""

    types: tuple[SeenType, ...]
    whole: bool


def ask_types(operator: OperatorContext, named: str = "") -> Asked:
    """The part types that gateways saw, by verdicts verified here; of the gateway `named`, or of
    all. A gateway that does not answer is said.
    """
    verdicts: list[Verdict] = []
    endpoints = gateways(operator)
    whole = bool(endpoints)
    for device, address in endpoints:
        if named and named != device:
            continue
        try:
            with gateway_stub(operator, device, address) as stub:
                reply = stub.ListVerdicts(pb.ListVerdictsRequest(limit=LOOKED_AT))
            handed = handed_out(operator, device, reply.verdicts)
            verdicts += handed.verdicts
            whole = whole and not handed.problems
        except Unavailable as error:
            whole = False
            talk.print(f"{safe(device)} does not answer at {safe(address)}")
            show_failures(error.failures)
    return Asked(tuple(seen_types(verdicts)), whole)


def only_unknown(asked: Asked) -> str:
    """The one type that was seen and that nobody described. Raises Refused (PART_UNKNOWN), or
    Unavailable where not every gateway could be asked.
    """
    unknown = [t.part_type for t in asked.types if t.unknown]
    if len(unknown) == 1:
        return unknown[0]
    if not unknown and not asked.whole:
        wanted, hint = "a gateway that answers", "framegate gateway status"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, "unknown: not every one does", hint)
    known = ", ".join(ascii(t.part_type) for t in asked.types[:8])
    none = f"none: what was seen is described ({known})" if known else "none: are frames coming?"
    seen = ", ".join(map(ascii, unknown[:8])) or none
    wanted, hint = "one part type that is seen and unknown", "framegate part learn TYPE"
    raise Refused.of(Reason.PART_UNKNOWN, wanted, seen, hint)


def awaited_unknown(operator: OperatorContext, device: str, wait_s: float) -> str:
    """`only_unknown` of the gateway `device`, as soon as it sees one within `wait_s`: a camera that
    was let in a moment ago has sent nothing so far.
    """
    until, told = time.monotonic() + wait_s, False
    while True:
        asked = ask_types(operator, device)
        if asked.whole and not any(t.unknown for t in asked.types) and time.monotonic() < until:
            if not told:
                told = True
                talk.print(
                    f"waiting for a part type that {safe(device)} sees and nobody described, "
                    f"at most {wait_s:g} s"
                )
            time.sleep(LOOK_S)
            continue
        return only_unknown(asked)


def tell_unseen(operator: OperatorContext, device: str, part_type: str) -> None:
    """Say so, and what was seen instead, where the gateway `device` saw no `part_type` of late: the
    name may be mistyped, and frames of it are waited for. Nothing where nobody can tell.
    """
    asked = ask_types(operator, device)
    names = [t.part_type for t in asked.types]
    if asked.whole and part_type not in names:
        seen = ", ".join(safe(name) for name in names[:8])
        told = f"; it saw {seen}" if names else ", nor any other"
        talk.print(f"no {safe(part_type)} among its last {LOOKED_AT} verdicts{told}")


def file_name(part_type: str) -> str:
    """The name of a PNG for `part_type`, which a camera chose: no path, nothing hidden."""
    return (re.sub(r"[^A-Za-z0-9_-]", "_", part_type)[:64] or "part") + ".png"


def one_gateway(operator: OperatorContext, named: str) -> tuple[str, str]:
    """(device, address) of the gateway `named`, or of the only one. Raises Refused, Unavailable."""
    endpoints = gateways(operator)
    if not endpoints:
        seen, hint = "unknown: no gateway process has shown itself", "framegate gateway list"
        raise Unavailable.of(Reason.UNAVAILABLE, "a gateway that sees the part", seen, hint)
    matching = {
        device: address
        for device, address in endpoints
        if named in {"", device, device.rsplit(".", 1)[-1]}
    }
    if len(matching) != 1:
        seen = ", ".join(sorted(matching)) or "none of that name"
        raise Refused.of(
            Reason.USAGE, "one gateway: --gateway NAME", seen, "framegate gateway list"
        )
    return next(iter(matching.items()))
