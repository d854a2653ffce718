"""What of an enforcer's doings somebody should know: flows by their fate, cuts with their times,
what others changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from framegate.findings.kinds import MAX_SAID, FindingKind
from framegate.segment.flow import ANY, FlowKey
from framegate.segment.policy import Address, Segment, SegmentZone
from framegate.segment.refusal import Told, Why
from framegate_host.reporting import Reporter
from framegate_segment.admission.ports import Admission
from framegate_segment.enforcement.enforcer import Cut
from framegate_segment.netlink.packet_log import LoggedPacket

MAX_PORTS: Final = 256
"""Destination ports that are told apart between zones: who scans has their ports counted as one."""
SWITCH: Final = "switch"
"""Where somebody may not be cut."""
FOREIGN: Final = "foreign-change"
"""Why a repair was due."""
PORTS_S: Final = 3_600.0
"""For so long: a scan of one hour hides no port of the next."""


class Sightings:
    """One enforcer's, on their way to its reporter. `segment` is what is enforced now."""

    def __init__(
        self,
        reporter: Reporter,
        segment: Callable[[], Segment | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter, self._segment, self._monotonic = reporter, segment, monotonic
        self._ports: set[str] = set()
        self._ports_since_s = monotonic()

    def packet(
        self,
        packet: LoggedPacket,
        explain: Callable[[LoggedPacket, FlowKey], str] = lambda _packet, _key: "",
    ) -> FlowKey | None:
        """A packet that a rule told of; what it counts as. None without a policy. `explain` gives
        why it was refused, by what is known at this moment.
        """
        segment = self._segment()
        if segment is None:
            return None
        key = flow_of(segment, packet)
        key = FlowKey(key.told, key.source, key.destination, self._told_apart(key))
        device = device_of(segment, packet)
        said = f"{packet.source} to {packet.destination}, {port_name(packet)}, at {packet.into}"
        because = explain(packet, key)
        said = f"{said}: {because}" if because else said
        self._reporter.saw(key.kind, key.text, device, said[:MAX_SAID])
        return key

    def cut(self, cut: Cut) -> None:
        """Somebody was cut; where the kernel still shows something of it, that is told instead."""
        said = (
            f"{cut.elements} elements out in {cut.removal_ms:.1f} ms, {cut.connections} connections"
            f" ended, read back after {cut.verified_ms:.1f} ms: {cut.left} left"
        )
        kind = FindingKind.SEGMENT_NOT_CUT if cut.left else FindingKind.SEGMENT_CUT
        self._reporter.saw(kind, cut.why, cut.device, said)

    def admission(self, told: Admission) -> None:
        """802.1X let somebody in as far as the join port, or does so no more. The identity is what
        was claimed, and stands among the words only.
        """
        kind = FindingKind.SEGMENT_ADMITTED if told.admitted else FindingKind.SEGMENT_WITHDRAWN
        segment = self._segment()
        bindings = segment.bindings if segment is not None else ()
        bound = (b for b in bindings if (b.port, b.mac) == (told.port, told.mac))
        device = next((b.device for b in bound), "")
        claimed = f", who claims to be {told.identity[:60]!a}" if told.identity else ""
        self._reporter.saw(kind, f"{told.why} {told.port}", device, f"{told.mac}{claimed}")

    def switch_kept(self, device: str, why: str) -> None:
        """A switch did not say that it ended the session of who was cut."""
        said = f"the switch did not acknowledge: {why}"
        self._reporter.saw(FindingKind.SEGMENT_NOT_CUT, SWITCH, device, said)

    def repaired(self, by: str, took_ms: float) -> None:
        """Somebody else changed our tables, and they are as they were."""
        named = "".join(c if c.isalnum() or c in "._-" else "?" for c in by)[:16]
        said = f"changed by {named or 'somebody'}, put right {took_ms:.1f} ms after it was heard"
        self._reporter.saw(FindingKind.SEGMENT_REPAIRED, FOREIGN, said=said)

    def _told_apart(self, key: FlowKey) -> str:
        if self._monotonic() - self._ports_since_s > PORTS_S:
            self._ports.clear()
            self._ports_since_s = self._monotonic()
        known = f"{key.source}>{key.destination} {key.port}"
        if known not in self._ports:
            if len(self._ports) >= MAX_PORTS:
                return ANY
            self._ports.add(known)
        return key.port


def flow_of(segment: Segment, packet: LoggedPacket) -> FlowKey:
    """Whose flow a packet is of; of an answer, the flow that it answers."""
    source = _zone(segment, packet.into, packet.source)
    destination = _zone(segment, packet.out_of, packet.destination)
    conduit = segment.conduits.get(packet.told.where)
    if conduit is not None:
        source, destination = conduit.source, conduit.destination
        port = f"{conduit.transport}/{conduit.port}"
    else:
        port = port_name(packet)
    return FlowKey(packet.told, source, destination, port)


def port_name(packet: LoggedPacket) -> str:
    """`tcp/7443`, or a protocol's name."""
    if packet.destination_port:
        return f"{packet.transport}/{packet.destination_port}"
    return packet.transport if packet.transport.isalnum() else ANY


def device_of(segment: Segment, packet: LoggedPacket) -> str:
    """The device that a packet concerns: bound to the port it came in by; or the end of its conduit
    that lacks trust; or whoever is bound to its source. Empty where that is nobody of the fleet.
    """
    if any(packet.into in zone.ports for zone in segment.zones.values()):
        # whoever is behind a port is known by the port, and never by what a packet says
        return next((b.device for b in segment.bindings if b.port == packet.into), "")
    lacking = lacking_zone(segment, packet.told)
    ends = (packet.source, packet.destination) if lacking else (packet.source,)
    bound = [segment.bound(a) for a in ends if a is not None]
    return next((b.device for b in bound if b is not None and lacking in {"", b.zone}), "")


def lacking_zone(segment: Segment, told: Told) -> str:
    """The zone of the conduit's end that is not trusted; empty where that is not the reason."""
    conduit = segment.conduits.get(told.where)
    if conduit is None or told.why not in {Why.TRUST_FROM, Why.TRUST_TO}:
        return ""
    return conduit.source if told.why is Why.TRUST_FROM else conduit.destination


def _zone(segment: Segment, interface: str, address: Address | None) -> str:
    zones = [z for z in segment.zones.values() if _has(z, interface)]
    if zones:
        return zones[0].name
    binding = segment.bound(address) if address is not None else None
    return binding.zone if binding is not None else ANY


def _has(zone: SegmentZone, interface: str) -> bool:
    return interface in zone.interfaces or interface in zone.ports
