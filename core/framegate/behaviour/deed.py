"""What rules see of an entry of the record: who did what, when, where, from which address."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

PERSON: Final = "operator."
"""How the actor of an entry begins where it is a person."""
FINDING: Final = "behaviour-noticed"
"""The event that tells of a finding: rules do not look at their own."""
NOWHERE: Final = "outside"
"""The site of an address that is of none that was named."""
_PREFIX_V4, _PREFIX_V6 = 24, 64
"""What counts as one address: an office's network, and what one machine may choose from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An entry as rules see it. `person` is empty where a machine or the controller did it; `zone`,
    `source` and `verb` are empty where the entry says none. Times in ms.
    """

    index: int
    at_ms: int
    event: str
    person: str = ""
    zone: str = ""
    source: str = ""
    verb: str = ""
    members: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def count(self) -> int:
        """How many the entry stands for: failures of one kind are recorded together."""
        count = self.members.get("count", 1)
        return count if type(count) is int and count > 0 else 1

    def text(self, member: str) -> str:
        """A member's text, empty where it is none."""
        value = self.members.get(member, "")
        return value if isinstance(value, str) else ""


def deed_of(index: int, body: Mapping[str, Any]) -> Deed | None:
    """What entry `index` of this body is to the rules; None where it is no event, a finding of
    theirs, or of a shape that no event has.
    """
    event, at_ms = body.get("event"), body.get("at_ms")
    if body.get("kind") != "event" or event == FINDING:
        return None
    if not isinstance(event, str) or type(at_ms) is not int:
        return None
    members = body.get("members")
    members = members if isinstance(members, dict) else {}
    actor, device = _text(body, "actor"), _text(body, "device")
    zone = _text(members, "zone") or (device.split(".")[1] if device.count(".") == 2 else "")
    return Deed(
        index=index,
        at_ms=at_ms,
        event=event,
        person=actor.removeprefix(PERSON) if actor.startswith(PERSON) else "",
        zone=zone,
        source=network_of(_text(body, "source") or _text(members, "source")),
        verb=_text(body, "verb") or _text(members, "verb"),
        members=members,
    )


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The network that `address` counts as; empty where it is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("/")[0])
    except ValueError:
        return ""
    length = _PREFIX_V4 if parsed.version == 4 else _PREFIX_V6
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


@dataclass(frozen=True, slots=True)
class Sites:
    """Which networks are of which site, by the longest prefix. With none named, every address is of
    the same site, and no rule speaks of sites.
    """

    networks: tuple[tuple[str, str], ...] = ()

    def of(self, network: str) -> str:
        """The site of a network of `network_of`; empty for no network."""
        return _site(self.networks, network) if network else ""


@lru_cache(maxsize=4096)
def _site(networks: tuple[tuple[str, str], ...], network: str) -> str:
    asked = ipaddress.ip_network(network)
    known = [
        (n.prefixlen, site)
        for n, site in ((ipaddress.ip_network(text), site) for text, site in networks)
        if n.version == asked.version and asked.subnet_of(n)  # type: ignore[arg-type]
    ]
    return max(known)[1] if known else NOWHERE


def parse_sites(texts: Mapping[str, str] | list[str] | tuple[str, ...]) -> Sites:
    """Sites as they are given, SITE=NETWORK each. Raises ValueError."""
    pairs = texts.items() if isinstance(texts, Mapping) else (t.partition("=")[::2] for t in texts)
    networks = []
    for site, network in pairs:
        if not site or site == NOWHERE:
            raise ValueError(f"a site's name, got {site!a}")
        networks.append((str(ipaddress.ip_network(network)), site))
    return Sites(tuple(networks))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    return value if isinstance(value, str) else ""
