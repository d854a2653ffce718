"""The verbs of operators, as the data beside this file names them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name

FLEET_WIDE: Final = "*"
"""The zone of a role that holds everywhere."""


class Role(StrEnum):
    """What an operator may be."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    SECURITY = "security"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing an operator does: its groups, what it is done to (zone, any, fleet), the calls that
    do it, and a summary.
    """

    name: str
    groups: tuple[str, ...]
    on: str
    rpc: tuple[str, ...]
    summary: str

    @property
    def two_person(self) -> bool:
        """Whether it takes somebody else's approval where the fleet has a quorum of two."""
        return "two-person" in self.groups


@dataclass(frozen=True, slots=True, order=True)
class Scoped:
    """A role in one zone, or in all (`*`)."""

    role: str
    zone: str = FLEET_WIDE

    def __str__(self) -> str:
        return self.role if self.zone == FLEET_WIDE else f"{self.role}@{self.zone}"

    def covers(self, zone: str) -> bool:
        """Whether it holds in `zone`; only a fleet-wide one covers the fleet (`*`)."""
        return self.zone in {FLEET_WIDE, zone}


def parse_scoped(text: str) -> Scoped:
    """`role` or `role@zone`. Raises Malformed (USAGE)."""
    role, _, zone = text.partition("@")
    if role not in set(Role):
        raise Malformed.of(
            Reason.USAGE, f"a role: {', '.join(Role)}, with @ZONE for one zone", ascii(text[:60])
        )
    return Scoped(
        role, parse_name(zone, "zone") if "@" in text and zone != FLEET_WIDE else FLEET_WIDE
    )


@lru_cache(maxsize=1)
def verbs() -> Mapping[str, Verb]:
    """All verbs by name."""
    body = tomllib.loads((files("framegate.access") / "verbs.toml").read_text("utf-8"))["verb"]
    return MappingProxyType(
        {
            n: Verb(n, tuple(v["groups"]), v["on"], tuple(v["rpc"]), v["summary"])
            for n, v in body.items()
        }
    )


def find_verb(name: str) -> Verb:
    """The verb `name`. Raises Malformed (USAGE), naming those that are near."""
    verb = verbs().get(name)
    if verb is None:
        near = [n for n in verbs() if name[:4] and (n.startswith(name[:4]) or name in n)][:8]
        raise Malformed.of(
            Reason.USAGE,
            f"a verb{': ' + ', '.join(near) if near else ''}",
            ascii(name[:60]),
            "framegate auth table",
        )
    return verb
