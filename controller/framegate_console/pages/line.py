"""The line now: whether it is protected, what it does, its last parts, its cameras' proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Refused
from framegate.signed.statement import Outcome, Verdict
from framegate_console.charts import curve
from framegate_console.live import Live
from framegate_console.pages.live_page import ALIKE, Alike, LivePage, Loaded
from framegate_console.rendering import at
from framegate_console.told_alike import Look
from framegate_operator.traffic import CameraFacts, GatewayFacts, LineFacts
from framegate_proto.v1 import framegate_pb2 as pb

SHOWN: Final = 48
"""Cameras on the page, those that need somebody first; the others are a click away."""
PARTS: Final = 8
_WORST: Final = ("suspect", "quarantined", "stale", "pending", "invited", "trusted")
_BAD: Final = frozenset({"suspect", "quarantined", "stale"})


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that somebody should look into: how urgent, a message's key with its members, and
    the page where it is looked into, of a machine or an incident.
    """

    level: str
    key: str
    page: str
    members: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    of: str = ""

    @property
    def where(self) -> str:
        """The page's address."""
        return f"{self.page}/{at(self.of)}" if self.of else self.page


@dataclass(frozen=True, slots=True)
class CameraCard:
    """A camera, its proof, and what it sends; `traffic` is None where nobody knows of any."""

    device: pb.DeviceSummary
    traffic: CameraFacts | None
    silence: str
    known: bool

    @property
    def key(self) -> Hashable:
        """All that a card shows."""
        d = self.device
        shown = (d.device, d.name, d.zone, d.state, d.last_result_ms, d.maintenance_until_ms)
        return (*shown, self.known, bool(self.silence), self.rate, *self.outcomes)

    @property
    def rate(self) -> str:
        """Frames a second; empty where nobody knows of any."""
        return f"{self.traffic.frames_per_s:.1f}" if self.traffic is not None else ""

    @property
    def quiet(self) -> bool:
        """Whether it is trusted and no frames come."""
        return self.device.state == "trusted" and bool(self.silence)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """What became of its frames in the last minute."""
        counts = self.traffic.outcomes if self.traffic is not None else {}
        return [(o, counted(counts.get(o, 0), known=self.known)) for o in Outcome]


@dataclass(frozen=True, slots=True)
class PartTile:
    """The verdict on a part, as a tile."""

    verdict: Verdict

    @property
    def key(self) -> Hashable:
        """All that a tile shows."""
        v = self.verdict
        shown = (v.verdict_id, v.outcome, v.part, v.reason, v.device, v.issued_at_ms)
        return (*shown, *(str(d["kind"]) for d in v.defects))


def counted(count: int, *, known: bool) -> str:
    """A count in words where not everybody who counts was heard: unknown is not zero."""
    if known:
        return str(count)
    return f"≥ {count}" if count else "?"


def answered(look: Look) -> bool:
    """Whether every gateway there is was heard."""
    return bool(look.traffic.gateways) and not look.traffic.unanswered


def cards(look: Look) -> list[CameraCard]:
    """Every camera, those that need somebody first."""
    return look.once(_cards)


def _cards(look: Look) -> list[CameraCard]:
    # where no gateway told of a camera, its zone alone says why
    silences: dict[str, str] = {}
    ranked = []
    for d in look.of_kind("camera"):
        device, facts = d.device, look.traffic.of(d.device)
        zone = d.zone if facts is None else device
        silence = silences.get(zone)
        if silence is None:
            silence = silences[zone] = look.traffic.silence(device)
        card = CameraCard(d, facts, silence, not silence.startswith("unknown"))
        ranked.append((_rank(d.state), not card.quiet, device, card))
    ranked.sort(key=itemgetter(0, 1, 2))
    return [card for *_, card in ranked]


def things(look: Look, waiting: int, incidents: Sequence[pb.IncidentRow]) -> Iterator[Thing]:
    """What somebody should look into, the most urgent first."""
    yield from look.once(_of_machines)
    for row in incidents:
        members = {"name": row.title, "about": row.about}
        yield Thing("look", "thing.incident", "/incident", members, str(row.incident))
    if waiting:
        yield Thing("look", "thing.waiting", "/approvals", {"n": waiting})


def _of_machines(look: Look) -> list[Thing]:
    return [*_at_gateways(look), *_at_lines(look), *_at_cameras(look)]


def _at_cameras(look: Look) -> Iterator[Thing]:
    for card in cards(look):
        d, kind = card.device, ""
        if d.state in _BAD:
            kind = d.state
        elif d.state == "pending":
            kind = "pending"
        elif card.quiet and card.known:
            kind = "quiet"
        elif d.maintenance_until_ms:
            kind = "maintenance"
        if kind:
            level = "bad" if kind in _BAD else "look"
            yield Thing(level, f"thing.{kind}", "/camera", {"name": d.name}, d.device)


def _at_lines(look: Look) -> Iterator[Thing]:
    for line in look.traffic.lines:
        if line.silent:
            yield Thing("bad", "thing.line", "/", {"name": line.line})
        elif line.refusing:
            where = ", ".join(line.refusing)
            yield Thing("bad", "thing.refusing", "/", {"name": line.line, "where": where})
        if line.stage:
            members = {"name": line.line, "stage": line.stage}
            yield Thing("bad", "thing.piloted", "/gateways", members)


def _at_gateways(look: Look) -> Iterator[Thing]:
    standing = [g for g in look.traffic.gateways if g.status is not None]
    if not any(g.status is not None and g.status.gate_open for g in standing):
        yield Thing("bad", "thing.no_gateway", "/gateways")
        return
    for g in look.traffic.gateways:
        name = g.device.rpartition(".")[2]
        if g.status is None:
            yield Thing("unknown", "thing.gateway_away", "/gateways", {"name": name})
        elif not g.status.gate_open:
            yield Thing("bad", "thing.gate_shut", "/gateways", {"name": name})
        elif g.status.broker == "away":
            yield Thing("look", "thing.broker_away", "/gateways", {"name": name})


def verdict_at_a_glance(look: Look, found: Sequence[Thing]) -> str:
    """In one word whether the line is protected: good, look, bad or unknown."""
    levels = {t.level for t in found}
    if not cards(look):
        return "unknown"
    return next((level for level in ("bad", "unknown", "look") if level in levels), "good")


@dataclass(frozen=True, slots=True)
class Totals:
    """The last minute of all cameras: frames a second (None: nobody can say all), and outcomes."""

    rate: float | None
    outcomes: Mapping[str, str]

    @classmethod
    def of(cls, look: Look) -> Totals:
        """What the gateways said, together."""
        counts: Counter[str] = Counter()
        for camera in look.traffic.cameras.values():
            counts.update(camera.outcomes)
        known = answered(look)
        rate = sum(c.frames_per_s for c in look.traffic.cameras.values() if c.streams)
        said = {str(o): counted(counts.get(o, 0), known=known) for o in Outcome}
        return cls(rate if known else None, said)


async def waits_for_others(live: Live) -> list[pb.AccessRow]:
    """What waits for somebody else than whoever asked for it; nothing where one may not see it."""
    try:
        rows = (await live.asked("ListAccess", pb.ListAccessRequest())).rows
    except Refused:
        return []
    return [r for r in rows if r.state == "pending" and r.requester != live.session.operator]


async def open_incidents(live: Live) -> Sequence[pb.IncidentRow]:
    """Incidents that nobody closed; nothing where one may not see them."""
    try:
        reply = await live.asked("ListIncidents", pb.ListIncidentsRequest(limit=20))
    except Refused:
        return ()
    rows: Sequence[pb.IncidentRow] = reply.incidents
    return rows


def latest(live: Live, device: str = "", most: int = PARTS) -> list[Verdict]:
    """The latest verdicts, the newest first."""
    rows = [v for v in reversed(live.verdicts) if device in {"", v.device}]
    rows.sort(key=lambda v: -v.issued_at_ms)
    return rows[:most]


def tiles(verdicts: Sequence[Verdict]) -> list[PartTile]:
    """Verdicts as tiles."""
    return [PartTile(v) for v in verdicts]


async def load(live: Live, _: str) -> Loaded:
    """The line as it is now."""
    look = await live.look()
    waiting, incidents = await waits_for_others(live), await open_incidents(live)
    todo = list(things(look, len(waiting), incidents))
    cameras, parts = cards(look), tiles(latest(live))
    rate_curve = curve(list(live.rates.points))
    rows = (*waiting, *incidents, *live.events)
    return {
        ALIKE: Alike(
            look,
            (
                rate_curve,
                live.problem,
                *(p.key for p in parts),
                *(row.SerializeToString(deterministic=True) for row in rows),
            ),
        ),
        "glance": verdict_at_a_glance(look, todo),
        "things": todo,
        "totals": look.once(Totals.of),
        "rate_curve": rate_curve,
        "parts": parts,
        "answered": answered(look),
        "cameras": cameras[:SHOWN],
        "more": max(0, len(cameras) - SHOWN),
        "states": look.once(_states),
        "gateways": look.traffic.gateways,
        "lines": look.traffic.lines,
        "events": live.events,
        "problem": live.problem,
    }


async def load_cameras(live: Live, key: str) -> Loaded:
    """Every camera whose name, zone or state has `key` in it."""
    look = await live.look()
    wanted = key.lower()
    shown = [
        c
        for c in cards(look)
        if wanted in f"{c.device.device} {c.device.state} {c.device.profile}".lower()
    ]
    return {
        ALIKE: Alike(look, key),
        "cameras": shown[:MAX_LISTED],
        "more": max(0, len(shown) - MAX_LISTED),
        "key": key,
    }


MAX_LISTED: Final = 400
"""Cameras in one list; more is searched."""


async def load_gateways(live: Live, _: str) -> Loaded:
    """The gateways: host's proof, gate, model, broker; and the lines that they hear."""
    look = await live.look()
    processes: dict[str, list[GatewayFacts]] = {}
    for g in look.traffic.gateways:
        processes.setdefault(g.device, []).append(g)
    rows = [(d, processes.get(d.device, [])) for d in look.of_kind("gateway")]
    lines: Sequence[LineFacts] = look.traffic.lines
    return {"gateways": rows, "lines": lines}


def _states(look: Look) -> list[tuple[str, int]]:
    counts = Counter(c.device.state for c in cards(look))
    return [(s, counts[s]) for s in _WORST if counts[s]]


def _rank(state: str) -> int:
    return _WORST.index(state) if state in _WORST else -1


LINE: Final = LivePage("line", "line.html", load, least_s=0.5)
CAMERAS: Final = LivePage(
    "cameras", "cameras.html", load_cameras, head="cameras_head.html", least_s=1.0
)
GATEWAYS: Final = LivePage("gateways", "gateways.html", load_gateways, least_s=1.0)
