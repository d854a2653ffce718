"""What a segment says to one connection, and what is missing where it does not pass: the compiler's
rules in words, held against them by tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.segment.policy import Address, Binding, Conduit, End, Segment, Transport
from framegate.segment.refusal import NO_CONDUIT, VERDICTS, Told, Verdict, Why
from framegate.segment.trusted_sets import address_set, source_set

TRUSTED: Final = "trusted"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStanding:
    """A device's state, and in words why it is not trusted; empty where it is."""

    state: str
    why: str = ""


Standings = Mapping[str, DeviceStanding]
"""By device id; who is not in it is unknown, and so not trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a packet comes from or goes to: a zone, and who is bound to its address there, if
    anybody.
    """

    zone: str
    binding: Binding | None = None

    @property
    def label(self) -> str:
        """Who it is, for people."""
        return self.binding.label if self.binding is not None else f"somebody in {self.zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who wants to speak to whom, and to which port."""

    source: Endpoint
    destination: Endpoint
    transport: Transport
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What becomes of a connection. `missing` is the set that lacks an element, `whose` the device
    whose element it is, `because` why it is not there.
    """

    told: Told
    conduit: Conduit | None = None
    missing: str = ""
    whose: str = ""
    because: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it passes by the policy; what a stage lets through does not."""
        return self.told.verdict is Verdict.ALLOW


def endpoint(segment: Segment, named: str) -> Endpoint:
    """The end that `named` names: a device id, a host, an address, or a zone for somebody unknown
    in it. Raises Malformed (USAGE).
    """
    binding = segment.named(named)
    if binding is None:
        address = _address(named)
        binding = segment.bound(address) if address is not None else None
    if binding is not None:
        return Endpoint(zone=binding.zone, binding=binding)
    if named in segment.zones:
        return Endpoint(zone=named)
    wanted = f"a device, host, bound address or zone of segment {segment.name}"
    zones = f"its zones are {', '.join(segment.zones)}"
    raise Malformed.of(Reason.USAGE, wanted, ascii(named)[:80], zones)


def rule(segment: Segment, standings: Standings, asked: Connection) -> Ruling:
    """What becomes of `asked`.

    1. a conduit of these zones to this port carries it, or none does, and then it passes as far as
    the stricter zone is not enforced; 2. where the conduit's near end has to be trusted, the source
    is a bound device that is; 3. where its far end has to be, so is the destination, and in any
    case it is somebody bound there.
    """
    source, destination = asked.source, asked.destination
    conduit = _conduit(segment, asked)
    if conduit is None or destination.binding is None:  # 1
        return _outside(segment, asked)
    if End.FROM in conduit.trust:  # 2
        lacking = _lacking(standings, source.binding)
        if lacking is not None:
            adjacent = segment.zones[source.zone].adjacent
            name = (source_set if adjacent else address_set)(source.zone, _version(source))
            return _refused(conduit, Why.TRUST_FROM, name, lacking)
    if End.TO in conduit.trust:  # 3
        lacking = _lacking(standings, destination.binding)
        if lacking is not None:
            name = address_set(destination.zone, _version(destination))
            return _refused(conduit, Why.TRUST_TO, name, lacking)
    return Ruling(told=Told(Verdict.ALLOW, conduit.name, Why.NONE), conduit=conduit)


@dataclass(frozen=True, slots=True)
class _Lacking:
    whose: str
    because: str


def _conduit(segment: Segment, asked: Connection) -> Conduit | None:
    ends = (asked.source.zone, asked.destination.zone, asked.transport, asked.port)
    return next(
        (
            c
            for c in segment.conduits.values()
            if (c.source, c.destination, c.transport, c.port) == ends
        ),
        None,
    )


def _outside(segment: Segment, asked: Connection) -> Ruling:
    source, destination = asked.source.zone, asked.destination.zone
    if source == destination:
        zone = segment.zones[source]
        if zone.peers or not zone.ports:
            return Ruling(told=Told(Verdict.OBSERVED, NO_CONDUIT, Why.PEERS))
        where = zone.interfaces[0]
        return Ruling(told=Told(VERDICTS[zone.mode], where, Why.PEERS))
    mode = segment.between(source, destination)
    because = f"no conduit from {source} to {destination}, {asked.transport}/{asked.port}"
    return Ruling(told=Told(VERDICTS[mode], NO_CONDUIT, Why.NO_CONDUIT), because=because)


def _refused(conduit: Conduit, why: Why, missing: str, lacking: _Lacking) -> Ruling:
    return Ruling(
        told=Told(VERDICTS[conduit.mode], conduit.name, why),
        conduit=conduit,
        missing=missing,
        whose=lacking.whose,
        because=lacking.because,
    )


def _lacking(standings: Standings, binding: Binding | None) -> _Lacking | None:
    """Who of an end lacks trust and why; None where it has it."""
    if binding is None or not binding.device:
        whose = binding.host if binding is not None else ""
        return _Lacking(whose, "no device of the fleet is bound to that address")
    standing = standings.get(binding.device)
    if standing is None:
        return _Lacking(binding.device, "the fleet does not know it")
    if standing.state != TRUSTED:
        return _Lacking(binding.device, standing.why or standing.state)
    return None


def _version(end: Endpoint) -> int:
    return end.binding.addresses[0].version if end.binding is not None else 4


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
