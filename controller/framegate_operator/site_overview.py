"""All sites at one look: the controller's word about its links, and what each site says of itself
to somebody who is signed in there. Nothing is asked of a site on anybody else's behalf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.federation.bundle import parse_bundle
from framegate_operator import contexts
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb

ASK_S: Final = 4.0
"""For a site to answer: a screen that waits for one that is away shows nobody anything."""
AT_ONCE: Final = 8
MAX_WHY: Final = 120
HERE: Final = "here"
"""The link of the site that is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLine:
    """One site. `machines` are counts by state, None where they are not known; `why` says why.
    `seen_ms` is when its bundle was seen last, `unknown_since_ms` since when its link fails, each
    None where there is no such time.
    """

    site: str
    fleet: str
    link: str
    seen_ms: int | None = None
    unknown_since_ms: int | None = None
    machines: Mapping[str, int] | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON members."""
        return asdict(self)


def lines_of(operator: OperatorContext, reply: pb.SitesReply) -> list[SiteLine]:
    """A line for this site, then one for each other, by name."""
    known = list(_contexts())
    with ThreadPoolExecutor(AT_ONCE, "sites") as pool:
        own = pool.submit(_counts, operator)
        others = [pool.submit(_other, row, known) for row in reply.sites]
        counts, why = own.result()
        line = SiteLine(site=reply.fleet, fleet=reply.fleet, link=HERE, machines=counts, why=why)
        return [line, *(o.result() for o in others)]


def _other(row: pb.SiteRow, known: Iterable[OperatorContext]) -> SiteLine:
    line = SiteLine(
        site=row.name,
        fleet=row.fleet,
        link=row.link,
        seen_ms=row.seen_ms or None,
        unknown_since_ms=row.failing_ms or None,
        why=row.error[:MAX_WHY],
    )
    roots = set(parse_bundle(row.bundle).roots)
    mine = next((c for c in known if _root(c) in roots), None)
    if mine is None:
        return _with(line, None, line.why or "no context of it here: framegate context add")
    counts, why = _counts(mine)
    return _with(line, counts, line.why or why)


def _with(line: SiteLine, machines: Mapping[str, int] | None, why: str) -> SiteLine:
    return SiteLine(**{**asdict(line), "machines": machines, "why": why})


def _counts(context: OperatorContext) -> tuple[Mapping[str, int] | None, str]:
    """Machines by state as that site's controller says, or why that is not known."""
    try:
        with operator_stub(load_context(context.path), ASK_S) as stub:
            return dict(stub.FleetStatus(pb.ListRequest()).states), ""
    except FramegateError as error:
        first = error.failures[0]
        return None, f"{first.reason}: {first.actual}"[:MAX_WHY]


def _contexts() -> Iterable[OperatorContext]:
    for path in sorted(Path(contexts.FOLDER / "contexts").glob("*.json")):
        try:
            yield contexts.read_context(path)
        except FramegateError:  # one that cannot be read says nothing of any site
            continue


def _root(context: OperatorContext) -> bytes:
    try:
        return context.root_certificate.public_bytes(Encoding.DER)
    except FramegateError:
        return b""
