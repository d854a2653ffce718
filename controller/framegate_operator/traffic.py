"""What the gateways say of cameras, lines and themselves, asked all at once. What nobody answered
for is unknown, which is not zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import FramegateError, Reason
from framegate.identity.names import split_device_id
from framegate.signed.statement import Outcome
from framegate_operator.connection import gateway_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.output import span
from framegate_proto.v1 import framegate_pb2 as pb

ANSWER_S: Final = 2.0
"""A gateway on the plant's network answers in milliseconds; one screen must not wait for a dead
one.
"""
AT_ONCE: Final = 16
QUIET_S: Final = 30.0
"""A connected camera without a frame for so long is worth a word; a slow line has a part every few
seconds.
"""
LINE_SILENT_S: Final = 5.0
"""A line's adapter speaks once a second; five missed words mean that it or its broker is gone."""
_UNINSPECTED_BY: Final = MappingProxyType(
    {
        Reason.PART_UNKNOWN.value: "framegate part list",
        Reason.FRAME_FROZEN.value: "look at the camera, its picture stands still, or its source "
        "sends old ones again; framegate verdict list --camera {}",
    }
)
"""What to do about UNINSPECTED frames, by the reason that the gateway names; `{}` is the camera."""
_UNKNOWN: Final = "unknown: "
NO_SOURCE: Final = "no stream yet: does its agent run, with --source?"


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """One gateway process: what it said, or why it said nothing."""

    device: str
    address: str
    status: pb.GatewayStatus | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """One camera as the gateways saw it. Ages in seconds, None for never."""

    device: str
    gateway: str
    streams: int
    frames_per_s: float
    last_frame_s: float | None
    begun_s: float | None
    ended_s: float | None
    in_peace: bool
    outcomes: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""

    def and_at(self, other: CameraFacts) -> CameraFacts:
        """The same camera where two gateways saw it."""
        first, second = sorted((self, other), key=lambda c: (-c.streams, _age(c.last_frame_s)))
        gone = min(first, second, key=lambda c: _age(c.ended_s))
        return CameraFacts(
            first.device,
            first.gateway,
            first.streams + second.streams,
            first.frames_per_s + second.frames_per_s,
            min(first.last_frame_s, second.last_frame_s, key=_age),
            min(first.begun_s, second.begun_s, key=_age),
            gone.ended_s,
            gone.in_peace,
            # a plain mapping: asdict (Python before 3.12) makes a Counter count its own pairs
            dict(Counter(first.outcomes) + Counter(second.outcomes)),
            first.reason or second.reason,
        )

    @property
    def silence(self) -> str:
        """Why no frames come, in words; empty while they do."""
        if self.streams and min(_age(self.last_frame_s), _age(self.begun_s)) < QUIET_S:
            return ""
        since = "no frame yet"
        if self.last_frame_s is not None:
            since = f"no frame for {span(self.last_frame_s)}"
        if self.streams:
            return f"{since}: its stream stands, and its source gives none"
        if self.in_peace:
            return f"{since}: the source ended"
        return f"{since}: its stream broke off {span(self.ended_s or 0)} ago"


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One line as a gateway heard it: outputs that take decisions, those that do not, how long ago
    it spoke (seconds), and observe or warn where it says that it diverts nothing.
    """

    line: str
    gateway: str
    taking: tuple[str, ...]
    refusing: tuple[str, ...]
    heard_s: float
    stage: str = ""

    @property
    def silent(self) -> bool:
        """Whether it should have spoken since."""
        return self.heard_s > LINE_SILENT_S


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was learnt. `unanswered` are zones of which not every gateway answered: a camera that is
    missing there may be at the one that did not.
    """

    gateways: tuple[GatewayFacts, ...]
    cameras: Mapping[str, CameraFacts]
    lines: tuple[LineFacts, ...]
    unanswered: frozenset[str]

    def of(self, device: str) -> CameraFacts | None:
        """What is known of a camera; None where that is nothing."""
        return self.cameras.get(device)

    def silence(self, device: str) -> str:
        """Why no frames of a camera come, in words; empty while they do, and a question mark where
        a gateway that may know does not answer.
        """
        camera = self.of(device)
        if camera is not None and camera.streams:
            return camera.silence
        zone = split_device_id(device).zone
        if zone in self.unanswered:
            return f"{_UNKNOWN}not every gateway of its zone answers"
        if not any(split_device_id(g.device).zone == zone for g in self.gateways):
            return f"{_UNKNOWN}no gateway stands in its zone"
        return NO_SOURCE if camera is None else camera.silence


def gateway_silence(traffic: Traffic, device: str) -> str:
    """Why a trusted host's gateway process does not inspect, in words; empty where it does."""
    mine = [g for g in traffic.gateways if g.device == device]
    if not mine:
        return f"{_UNKNOWN}no gateway process has shown itself"
    for gateway in mine:
        if gateway.status is None:
            shut = gateway.problem.startswith(Reason.TRUST_FEED)
            does = "answers nobody" if shut else "does not answer"
            return f"its gateway process {does}: {gateway.problem}"
        if not gateway.status.gate_open:
            return "the gate of its process is shut"
    return ""


def ask_traffic(context: OperatorContext, devices: Iterable[pb.DeviceSummary]) -> Traffic:
    """Ask every gateway process among `devices` (any machines), each for `ANSWER_S` at most."""
    asked = [
        (d.device, address)
        for d in devices
        if d.kind == "gateway"
        for address in [a for a in d.operator_addresses if a] or [""]
        if address or d.state == "trusted"
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        gateways = tuple(pool.map(lambda one: _asked(context, *one), asked))
    return traffic_of(gateways)


def traffic_of(gateways: tuple[GatewayFacts, ...]) -> Traffic:
    """What the answers say together."""
    cameras: dict[str, CameraFacts] = {}
    lines: dict[str, LineFacts] = {}
    for gateway in gateways:
        status = gateway.status
        for row in status.cameras if status is not None else ():
            facts = _camera(row, gateway.device, status.now_ms if status is not None else 0)
            before = cameras.get(row.device)
            cameras[row.device] = facts if before is None else before.and_at(facts)
        for line in status.lines if status is not None else ():
            age = max(0, (status.now_ms if status is not None else 0) - line.heard_ms) / 1000
            told = LineFacts(
                line.line,
                gateway.device,
                tuple(line.taking),
                tuple(line.refusing),
                age,
                line.stage,
            )
            if line.line not in lines or age < lines[line.line].heard_s:
                lines[line.line] = told
    unanswered = frozenset(split_device_id(g.device).zone for g in gateways if g.status is None)
    return Traffic(gateways, cameras, tuple(lines[n] for n in sorted(lines)), unanswered)


def to_do(camera: CameraFacts, name: str) -> str:
    """What somebody may do about UNINSPECTED frames of a camera that sends; empty where it has
    none.
    """
    if not camera.outcomes.get(Outcome.UNINSPECTED):
        return ""
    return _UNINSPECTED_BY.get(camera.reason, "framegate verdict list --camera {}").format(name)


def frames_json(traffic: Traffic, device: str) -> dict[str, Any]:
    """What is known of a camera's frames, as data; `known` is false where a gateway that may know
    more did not answer.
    """
    camera, silence = traffic.of(device), traffic.silence(device)
    seen = asdict(camera) if camera is not None else {}
    return seen | {"device": device, "known": not _unknown(silence), "silence": silence}


def frames_cells(traffic: Traffic, device: str) -> tuple[str, str]:
    """Frames a second and the last one's age, for a table; `?` where nobody knows."""
    camera = traffic.of(device)
    if camera is None:
        return ("?", "?") if _unknown(traffic.silence(device)) else ("0", "never")
    last = f"{span(camera.last_frame_s)} ago" if camera.last_frame_s is not None else "never"
    return f"{camera.frames_per_s:.1f}", last


def _asked(context: OperatorContext, device: str, address: str) -> GatewayFacts:
    if not address:
        problem = "its host is trusted, and no gateway process has shown itself"
        return GatewayFacts(device, "", None, problem)
    try:
        with gateway_stub(context, device, address, ANSWER_S) as stub:
            return GatewayFacts(device, address, stub.Status(pb.ListRequest()))
    except FramegateError as error:
        first = error.failures[0]
        return GatewayFacts(device, address, None, f"{first.reason}: {first.actual}")


def _camera(row: pb.CameraTraffic, gateway: str, now_ms: int) -> CameraFacts:
    return CameraFacts(
        row.device,
        gateway,
        row.streams,
        row.frames_per_s,
        _since(row.last_frame_ms, now_ms),
        _since(row.begun_ms, now_ms),
        _since(row.ended_ms, now_ms),
        row.in_peace,
        dict(row.outcomes),
        row.reason,
    )


def _since(ms: int, now_ms: int) -> float | None:
    return max(0, now_ms - ms) / 1000 if ms else None


def _unknown(silence: str) -> bool:
    return silence.startswith(_UNKNOWN)


def _age(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
