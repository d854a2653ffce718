"""The segment of the simulated factory network, as its file says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framegate.segment.parse import parse_segments
from framegate.segment.policy import Segment
from framegate_simulators.plant.namespaces import BRIDGE, WIRES, Wire

ZONE: Final = "line-1"
_MODES: Final[Mapping[str, str]] = {
    "cameras": "enforce",
    "gateways": "enforce",
    "control": "enforce",
    "plc": "enforce",
}
_HOSTS: Final[Mapping[str, tuple[str, str]]] = {
    "gw": ("gateways", 'device = "gateway.line-1.gw1"'),
    "ctl": ("control", 'host = "controller"'),
    "plc": ("plc", 'host = "press-plc"'),
}


def segment_text(
    *,
    modes: Mapping[str, str] = _MODES,
    life_s: int = 30,
    extra: str = "",
    dot1x: bool = False,
) -> str:
    """The file, with zones' modes, an element's life, what else is to stand in it, and whether
    802.1X opens the ports.
    """
    modes = {**_MODES, **modes}
    ports = ", ".join(f'"{w.port}"' for w in WIRES if w.bridged)
    lines = [
        f'[{ZONE}]\nlife = "{life_s}s"\n',
        f'[{ZONE}.zones.cameras]\ninterfaces = ["{BRIDGE}"]\nmode = "{modes["cameras"]}"\n'
        f'adjacent = true\nports = [{ports}]\ngateway = ["10.10.1.1", "fd10:1::1"]\n'
        + ("dot1x = true\n" if dot1x else ""),
    ]
    for zone, port in (("gateways", "p-gw"), ("control", "p-ctl"), ("plc", "p-plc")):
        lines.append(f'[{ZONE}.zones.{zone}]\ninterfaces = ["{port}"]\nmode = "{modes[zone]}"\n')
    lines += [
        _conduit("join", "cameras", "control", "tcp/8443", ""),
        _conduit("frames", "cameras", "gateways", "tcp/7443", '"from", "to"'),
        _conduit("beats", "cameras", "gateways", "udp/7443", '"from", "to"'),
        extra,
    ]
    lines += [_binding(w) for w in WIRES if w.host != "intr"]
    return "\n".join(lines)


def planned_segment(
    *,
    modes: Mapping[str, str] = _MODES,
    life_s: int = 30,
    extra: str = "",
    dot1x: bool = False,
) -> Segment:
    """The same, read."""
    text = segment_text(modes=modes, life_s=life_s, extra=extra, dot1x=dot1x)
    return parse_segments(text)[ZONE]


def _conduit(name: str, source: str, destination: str, port: str, trust: str) -> str:
    return (
        f'[{ZONE}.conduits.{name}]\nfrom = "{source}"\nto = "{destination}"\n'
        f'port = "{port}"\ntrust = [{trust}]\nmode = "enforce"\n'
    )


def _binding(wire: Wire) -> str:
    zone, who = _HOSTS.get(wire.host, ("cameras", f'device = "camera.{ZONE}.{wire.host}"'))
    bound = f'mac = "{wire.mac}"\nport = "{wire.port}"\n' if wire.bridged else ""
    return (
        f'[[{ZONE}.bindings]]\nzone = "{zone}"\n{who}\n{bound}'
        f'addresses = ["{wire.address}", "{wire.address6}"]\n'
    )
