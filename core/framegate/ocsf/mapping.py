"""How mappings are declared: one function an event, which says class, activity and attributes."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.ocsf.classes import EventClass
from framegate.ocsf.logged import LoggedEvent
from framegate.record.event import Severity

SUCCESS: Final = {"status_id": 1, "status": "Success"}
FAILURE: Final = {"status_id": 2, "status": "Failure"}
_OPERATOR: Final = "operator."
IOT: Final = 7
"""`device.type_id` of a camera or a gateway."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What an entry is in OCSF, beside what all have in common. `other` names activity 99."""

    kind: EventClass
    activity: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    other: str = ""
    profiles: tuple[str, ...] = ()
    severity: Severity | None = None
    """Where one of the event's members says it."""


Map = Callable[[LoggedEvent], Mapped]
_MAPS: dict[str, Map] = {}


def maps(*names: str) -> Callable[[Map], Map]:
    """Declare what maps the events called so. ValueError where a name has a mapping already."""

    def declare(work: Map) -> Map:
        for name in names:
            if name in _MAPS:
                raise ValueError(f"event {name} is mapped twice")
            _MAPS[name] = work
        return work

    return declare


def mappings() -> Mapping[str, Map]:
    """Every mapping by the event's name."""
    return _MAPS


def user(actor: str) -> dict[str, Any]:
    """A person as OCSF has them; `actor` is as entries name who acts, or a person's bare name."""
    name = actor.removeprefix(_OPERATOR)
    return {"name": name or "unknown", "uid": actor or "unknown", "type_id": 1, "type": "User"}


def actor_of(event: LoggedEvent) -> dict[str, Any]:
    """Who acted: a person, or a program of the fleet."""
    actor = event.text("actor") or event.text("gateway") or "unknown"
    if actor.startswith(_OPERATOR):
        return {"user": user(actor)}
    return {"app_name": actor, "app_uid": actor}


def device_of(name: str) -> dict[str, Any]:
    """A machine; its name says kind and zone: `camera.line-1.cam1`."""
    device: dict[str, Any] = {"uid": name, "name": name, "type_id": IOT, "type": "IOT"}
    parts = name.split(".")
    return {**device, "zone": parts[1]} if len(parts) == 3 else device


def endpoint(source: str) -> dict[str, Any]:
    """Where a call came from: an address where it is one, else what it calls itself."""
    bare = source.removeprefix("ipv4:").removeprefix("ipv6:")
    host = bare.rsplit(":", 1)[0] if bare.count(":") == 1 else bare
    try:
        return {"ip": str(ipaddress.ip_address(host.strip("[]")))}
    except ValueError:
        return {"name": source or "unknown"}


def entity(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Something that is managed and has no type of its own in OCSF."""
    return {"type_id": 99, "type": kind, "name": name or kind, **more}


def policy_entity(name: str) -> dict[str, Any]:
    """A policy that is managed: the access policy, a profile, masks."""
    return {"type_id": 5, "type": "Policy", "name": name, "policy": {"name": name}}


def zone_entity(name: str) -> dict[str, Any]:
    """A zone of the plant."""
    return {"type_id": 7, "type": "Network Zone", "name": name, "uid": name}


def device_entity(event: LoggedEvent) -> dict[str, Any]:
    """The machine that the event is about, as what is managed."""
    name = event.text("device") or "unknown"
    return {"type_id": 1, "type": "Device", "name": name, "uid": name, "device": device_of(name)}
