"""A segment as RADIUS attributes of an access switch: which VLAN a port gets before its device's
proof, and which one after it.

The identity in EAP is claimed, and so never admits to more than the join VLAN by itself; a device
gets the zone's VLAN while it is trusted, and no longer than that stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.segment.policy import Binding, Segment
from framegate.segment.ruling import TRUSTED, DeviceStanding

VLAN: Final = 13
"""Tunnel-Type (RFC 2868, 3.1; RFC 3580, 3.31)."""
IEEE_802: Final = 6
"""Tunnel-Medium-Type (RFC 2868, 3.2)."""
RADIUS_REQUEST: Final = 1
"""Termination-Action: ask again when the session's time is over (RFC 2865, 5.29)."""
MIN_SESSION_S: Final = 10
"""Below this a switch would do nothing but authenticate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlans:
    """VLAN ids of a switch: the one that reaches the join port alone, which is its critical VLAN as
    well, and one for each zone.
    """

    join: int
    zones: dict[str, int]

    def __post_init__(self) -> None:
        ids = [self.join, *self.zones.values()]
        if len(set(ids)) < len(ids) or not all(1 < i < 4_095 for i in ids):
            raise Malformed.of(Reason.SEGMENT, "VLAN ids 2 to 4094, each once", str(ids)[:80])


@dataclass(frozen=True, slots=True)
class Attribute:
    """A RADIUS attribute by its name in FreeRADIUS' dictionary."""

    name: str
    value: str | int


def attributes_for(
    binding: Binding, standing: DeviceStanding | None, left_s: int, vlans: Vlans, life_s: int
) -> tuple[Attribute, ...]:
    """What an Access-Accept for `binding` says: the join VLAN unless its device is trusted, for
    `left_s` more seconds and at most `life_s` at a time.
    """
    trusted = standing is not None and standing.state == TRUSTED and left_s >= MIN_SESSION_S
    if trusted and binding.zone not in vlans.zones:
        raise Malformed.of(Reason.SEGMENT, f"a VLAN for zone {binding.zone}", "none")
    vlan = vlans.zones[binding.zone] if trusted else vlans.join
    session = max(MIN_SESSION_S, min(left_s if trusted else life_s, life_s))
    return (
        Attribute("Tunnel-Type", VLAN),
        Attribute("Tunnel-Medium-Type", IEEE_802),
        Attribute("Tunnel-Private-Group-Id", str(vlan)),
        Attribute("Session-Timeout", session),
        Attribute("Termination-Action", RADIUS_REQUEST),
        Attribute("Class", f"framegate:{'zone' if trusted else 'join'}:{binding.label}"),
    )


def radius_users(segment: Segment, vlans: Vlans) -> str:
    """FreeRADIUS' `users` file for a switch's ports, by MAC address, as it is before any proof:
    join-only for all. What a proof widens is sent by the enforcer.
    """
    lines: list[str] = []
    for binding in segment.bindings:
        if not binding.device or not binding.mac:
            continue
        said = attributes_for(binding, None, 0, vlans, segment.life_s)
        shown = [
            f'\t{a.name} := "{a.value}"' if isinstance(a.value, str) else f"\t{a.name} := {a.value}"
            for a in said
        ]
        lines.append(f'{binding.mac.replace(":", "")}\tCalling-Station-Id == "{binding.mac}"')
        lines.append(",\n".join(shown))
    return "\n".join(lines) + "\n"


def radius_pairs(attributes: tuple[Attribute, ...]) -> str:
    """As FreeRADIUS takes them from a program (rlm_exec): one line, separated by commas. Class is
    of octets, and so written in hex.
    """
    return ", ".join(f"{a.name} = {_paired(a)}" for a in attributes)


def _paired(attribute: Attribute) -> str:
    if attribute.name == "Class":
        return "0x" + str(attribute.value).encode().hex()
    return f'"{attribute.value}"' if isinstance(attribute.value, str) else str(attribute.value)
