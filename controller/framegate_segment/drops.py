"""Refused packets, explained, on the enforcer's disk: the latest of each kind, for whoever stands
before it. What the fleet is told goes with reports.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from framegate.segment.flow import FlowKey
from framegate.segment.policy import Segment
from framegate.segment.refusal import FEED_LOST, Verdict, Why
from framegate_host.private_files import write_private
from framegate_segment.enforcement.enforcer import Enforcer
from framegate_segment.netlink.packet_log import LoggedPacket
from framegate_segment.sightings import device_of, lacking_zone, port_name

UNHEARD: Final = f"for the controller is not heard: {FEED_LOST}"
"""Why nobody is renewed; whoever explains it names what mends that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDrop:
    """A refused packet: which conduit, which element is missing, and why."""

    number: int
    at_ms: int
    verdict: str
    conduit: str
    why: str
    device: str
    source: str
    destination: str
    port: str
    interface: str
    because: str


class DropBook:
    """The latest drops, at most so many, written out in turn. Not for several threads."""

    def __init__(
        self,
        file: Path,
        enforcer: Enforcer,
        most: int,
        heard: Callable[[], bool] = lambda: True,
    ) -> None:
        """`heard` says whether the controller was heard lately: else nobody is renewed."""
        self._file, self._enforcer, self._most, self._heard = file, enforcer, most, heard
        kept = read_drops(file)
        self._drops: OrderedDict[str, ExplainedDrop] = OrderedDict()
        self._number = max((d.number for d in kept), default=0)
        self._dirty = False

    def add(self, packet: LoggedPacket, key: FlowKey) -> ExplainedDrop | None:
        """Explain a packet that is or would be refused; None for one that is not."""
        segment = self._enforcer.segment
        if segment is None or key.told.verdict in {Verdict.ALLOW, Verdict.OBSERVED}:
            return None
        self._number += 1
        device = device_of(segment, packet)
        drop = ExplainedDrop(
            number=self._number,
            at_ms=time.time_ns() // 1_000_000,
            verdict=key.told.verdict.value,
            conduit=key.told.where,
            why=key.told.why.value,
            device=device,
            source=str(packet.source or ""),
            destination=str(packet.destination or ""),
            port=port_name(packet),
            interface=packet.into,
            because=self._because(segment, key, packet),
        )
        kind = f"{key.text} {drop.source} {drop.destination}"
        self._drops[kind] = drop
        self._drops.move_to_end(kind)
        while len(self._drops) > self._most:
            self._drops.popitem(last=False)
        self._dirty = True
        return drop

    def explain(self, packet: LoggedPacket, key: FlowKey) -> str:
        """Keep a packet that is or would be refused, and say why; empty for one that is not."""
        drop = self.add(packet, key)
        return drop.because if drop is not None else ""

    def write(self) -> None:
        """Put what is new on the disk. Blocks."""
        if self._dirty:
            self._dirty = False
            lines = [json.dumps(asdict(d), sort_keys=True) for d in self._drops.values()]
            write_private(self._file, ("\n".join(lines) + "\n").encode(), durable=False)

    def _because(self, segment: Segment, key: FlowKey, packet: LoggedPacket) -> str:
        """Why, of what this enforcer knows."""
        why = key.told.why
        if zone := lacking_zone(segment, key.told):
            return self._lacking(segment, zone, packet)
        if why is Why.NO_CONDUIT:
            return f"no conduit from {key.source} to {key.destination}, {key.port}"
        return _WORDS.get(why, why.value).format(port=packet.into)

    def _lacking(self, segment: Segment, zone: str, packet: LoggedPacket) -> str:
        addresses = (packet.source, packet.destination)
        bindings = (segment.bound(a) for a in addresses if a is not None)
        binding = next((b for b in bindings if b is not None and b.zone == zone), None)
        if binding is None or not binding.device:
            return f"no device of the fleet is bound to that address in {zone}"
        standing = self._enforcer.standings.get(binding.device)
        if standing is None:
            return f"{binding.device}: nobody told this enforcer that it is trusted"
        if standing.state != "trusted":
            return f"{binding.device} is {standing.state}"
        ended = f"{binding.device}: its life in the set ended"
        return f"{ended}, {UNHEARD if not self._heard() else 'and nothing renewed it'}"


_WORDS: Final = {
    Why.TO_ENFORCER: "it was for the enforcer itself",
    Why.PEERS: "hosts of one bridge do not speak to each other here",
    Why.UNKNOWN_PORT: "no zone names the bridge port {port}",
    Why.MAC: "somebody else's MAC address at port {port}",
    Why.ARP: "ARP for somebody else's address at port {port}",
    Why.ADDRESS: "somebody else's address at port {port}",
    Why.NEIGHBOUR: "a neighbour advertisement for somebody else's address at port {port}",
    Why.ROUTER: "a router advertisement or redirect at port {port}",
    Why.DHCP: "a DHCP server at port {port}",
    Why.FRAGMENT: "an IPv6 fragment or routing header at port {port}",
    Why.UNADMITTED: "802.1X has not opened port {port} for this MAC address",
    Why.ETHERTYPE: "neither ARP nor IP at port {port}: a VLAN tag, or another protocol",
}


def read_drops(file: Path) -> list[ExplainedDrop]:
    """The drops in `file`; none where there is none, and what is no drop is left out."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    drops: list[ExplainedDrop] = []
    for line in lines:
        try:
            body: dict[str, Any] = json.loads(line)
            drops.append(ExplainedDrop(**body))
        except (ValueError, TypeError):
            continue
    return drops
