"""Reads the segments' TOML, strictly: what is misspelt is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Final, TypeVar

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name, split_device_id
from framegate.segment.consistency import require_consistent
from framegate.segment.policy import (
    FILE,
    Address,
    Binding,
    Conduit,
    End,
    Mode,
    Segment,
    SegmentZone,
    Transport,
)
from framegate.toml_text import parse_toml

MAX_BYTES: Final = 128 * 1024
"""Some thousand bindings; the access policy around it is held to its own limit."""
MAX_SEGMENTS: Final = 64
MAX_ZONES: Final = 64
MAX_CONDUITS: Final = 256
MAX_BINDINGS: Final = 4_096
MAX_LISTED: Final = 64
MAX_NAME: Final = 24
"""Characters of a zone's or conduit's name: both stand in a log prefix, of 127 characters at
most, and zones in names of sets.
"""
MIN_LIFE_S: Final = 5
"""Three heartbeats of the feed and a little: a shorter life would close on a lost packet."""
MAX_LIFE_S: Final = 300
"""How long a dead enforcer's last word may stand."""
_INTERFACE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}")
"""IFNAMSIZ less its zero; no quotation mark and no space, as it stands in rules."""
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PORT: Final = re.compile(r"(tcp|udp)/([1-9][0-9]{0,4})")
_LIFE: Final = re.compile(r"([1-9][0-9]{0,2})s")
_SEGMENT: Final = ("life", "zones", "conduits", "bindings")
_ZONE: Final = ("interfaces", "mode", "adjacent", "ports", "gateway", "peers", "dot1x")
_CONDUIT: Final = ("from", "to", "port", "trust", "mode")
_BINDING: Final = ("zone", "device", "host", "mac", "port", "addresses")
T = TypeVar("T", bound=str)


def parse_segments(text: str) -> Mapping[str, Segment]:
    """Segments by the fleet's zone whose trust they follow.

    1. TOML of at most `MAX_BYTES`, with no key that is not known; 2. zones with interfaces, a
    mode, and bridge ports where their hosts are adjacent; 3. conduits between zones that exist,
    each to one port, with the ends that must be trusted; 4. bindings with addresses, each a device
    of this fleet's zone or a named host; 5. all of it together (`require_consistent`).
    Raises Malformed (SEGMENT), saying where.
    """
    if len(text.encode()) > MAX_BYTES:  # 1
        raise bad(f"{FILE} of at most {MAX_BYTES} bytes", len(text.encode()))
    body = parse_toml(text, lambda e: bad(f"TOML in {FILE}", str(e)[:80]))
    if not 0 < len(body) <= MAX_SEGMENTS:
        raise bad(f"1 to {MAX_SEGMENTS} tables, named after zones of the fleet", len(body))
    return MappingProxyType({name: _segment(name, body) for name in body})


def bad(expected: str, actual: object) -> Malformed:
    """What is wrong with a segment's policy."""
    shown = ascii(actual)[:80]
    return Malformed.of(Reason.SEGMENT, expected, shown, "framegate segment validate DIR")


def _segment(name: str, whole: Mapping[str, Any]) -> Segment:
    _name(name, "segment, which is a zone of the fleet", 63)
    body = _table(whole, name, f"[{name}]")
    _no_others(body, _SEGMENT, f"[{name}]")
    zones = {
        key: _zone(key, _table(_table(body, "zones", f"[{name}.zones]"), key, f"zone {key}"))
        for key in _counted(body, "zones", MAX_ZONES, name)
    }
    conduits = {
        key: _conduit(key, _table(body["conduits"], key, f"conduit {key}"), zones)
        for key in _counted(body, "conduits", MAX_CONDUITS, name)
    }
    rows = body.get("bindings", [])
    if type(rows) is not list or len(rows) > MAX_BINDINGS:
        raise bad(f"at most {MAX_BINDINGS} [[{name}.bindings]]", type(rows).__name__)
    segment = Segment(
        name=name,
        life_s=_life(body.get("life", "30s")),
        zones=MappingProxyType(zones),
        conduits=MappingProxyType(conduits),
        bindings=tuple(_binding(row, name, number) for number, row in enumerate(rows, 1)),
    )
    require_consistent(segment)  # 5
    return segment


def _zone(name: str, body: Mapping[str, Any]) -> SegmentZone:  # 2
    _name(name, "zone")
    where = f"zone {name}"
    _no_others(body, _ZONE, where)
    return SegmentZone(
        name=name,
        interfaces=tuple(_interface(i, where) for i in _strings(body, "interfaces", where, 1)),
        mode=_one(Mode, body.get("mode"), f"{where}: mode"),
        adjacent=_switch(body, "adjacent", where),
        ports=tuple(_interface(i, where) for i in _strings(body, "ports", where)),
        gateway=tuple(_address(a, where) for a in _strings(body, "gateway", where)),
        peers=_switch(body, "peers", where),
        dot1x=_switch(body, "dot1x", where),
    )


def _conduit(name: str, body: Mapping[str, Any], zones: Mapping[str, SegmentZone]) -> Conduit:  # 3
    _name(name, "conduit")
    where = f"conduit {name}"
    _no_others(body, _CONDUIT, where)
    matched = _PORT.fullmatch(str(body.get("port")))
    if matched is None or int(matched[2]) > 65_535:
        raise bad(f"{where}: port as tcp/7443", body.get("port"))
    for end in ("from", "to"):
        if type(body.get(end)) is not str or body[end] not in zones:
            raise bad(f"{where}: {end}, one of {', '.join(zones)}", body.get(end))
    if "trust" not in body:
        raise bad(f'{where}: trust, some of ["from", "to"], or [] for join-only', "none")
    return Conduit(
        name=name,
        source=body["from"],
        destination=body["to"],
        transport=Transport(matched[1]),
        port=int(matched[2]),
        trust=frozenset(_one(End, e, f"{where}: trust") for e in _strings(body, "trust", where)),
        mode=_one(Mode, body.get("mode"), f"{where}: mode"),
    )


def _binding(row: object, segment: str, number: int) -> Binding:  # 4
    where = f"binding {number}"
    if type(row) is not dict:
        raise bad(f"{where}: a table", row)
    _no_others(row, _BINDING, where)
    device, host = row.get("device", ""), row.get("host", "")
    if bool(device) == bool(host) or type(device) is not str or type(host) is not str:
        raise bad(f"{where}: a device, by its id, or a host, by a name", f"{device} {host}".strip())
    if device and split_device_id(device).zone != segment:
        raise bad(f"{where}: a device of the fleet's zone {segment}", device)
    if host:
        _name(host, "host")
    mac, port = row.get("mac", ""), row.get("port", "")
    if type(mac) is not str or (mac and not _MAC.fullmatch(mac)):
        raise bad(f"{where}: mac as 02:00:00:00:00:0a", mac)
    zone = row.get("zone")
    return Binding(
        zone=zone if type(zone) is str else "",
        device=device,
        host=host,
        mac=mac,
        port=_interface(port, where) if port else "",
        addresses=tuple(_address(a, where) for a in _strings(row, "addresses", where, 1)),
    )


def _name(value: str, what: str, most: int = MAX_NAME) -> None:
    if len(value) > most:
        raise bad(f"a {what} of at most {most} characters", value)
    parse_name(value, what)


def _no_others(body: Mapping[str, Any], known: Sequence[str], of: str) -> None:
    if others := sorted(set(body) - set(known)):
        raise bad(f"keys of {of}: {', '.join(known)}", ", ".join(others))


def _table(body: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = body.get(key)
    if type(section) is not dict:
        raise bad(f"a table, {where}", section)
    return section


def _counted(body: Mapping[str, Any], key: str, most: int, where: str) -> list[str]:
    section = _table(body, key, f"[{where}.{key}]")
    if not 0 < len(section) <= most:
        raise bad(f"1 to {most} {key} in [{where}]", len(section))
    return list(section)


def _strings(body: Mapping[str, Any], key: str, where: str, least: int = 0) -> tuple[str, ...]:
    value = body.get(key, [])
    if (
        type(value) is not list
        or not least <= len(value) <= MAX_LISTED
        or any(type(v) is not str for v in value)
        or len(set(value)) < len(value)
    ):
        raise bad(f"{where}: {key}, a list of {least} to {MAX_LISTED} texts, each once", value)
    return tuple(value)


def _switch(body: Mapping[str, Any], key: str, where: str) -> bool:
    value = body.get(key, False)
    if type(value) is not bool:
        raise bad(f"{where}: {key}, true or false", value)
    return value


def _one(kind: type[T], value: object, what: str) -> T:
    members = list[T](kind)  # type: ignore[call-overload]
    if type(value) is not str or value not in members:
        raise bad(f"{what}: {', '.join(members)}", value)
    return kind(value)


def _interface(value: object, where: str) -> str:
    if type(value) is not str or not _INTERFACE.fullmatch(value):
        raise bad(f"{where}: an interface of up to 15 letters, digits and . _ -", value)
    return value


def _address(value: str, where: str) -> Address:
    try:
        address = ip_address(value)
    except ValueError as error:
        raise bad(f"{where}: an IPv4 or IPv6 address", value) from error
    if str(address) != value or getattr(address, "scope_id", None):
        raise bad(f"{where}: an address in its one form, {address}", value)
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise bad(f"{where}: one host's address", value)
    if getattr(address, "ipv4_mapped", None):
        raise bad(f"{where}: an IPv4 address as IPv4", value)
    return address


def _life(value: object) -> int:
    matched = _LIFE.fullmatch(value) if type(value) is str else None
    if matched is None or not MIN_LIFE_S <= int(matched[1]) <= MAX_LIFE_S:
        raise bad(f"life: {MIN_LIFE_S}s to {MAX_LIFE_S}s", value)
    return int(matched[1])
