"""The name of an enforcer of a zone's segments: `enforcer.<zone>.<name>`. It is no device: nothing
of it is attested, and no frame comes from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_identifier, parse_name

PREFIX: Final = "enforcer"


@dataclass(frozen=True, slots=True)
class EnforcerName:
    """What an enforcer's id says."""

    zone: str
    name: str


def enforcer_id(zone: str, name: str) -> str:
    """The id, also its certificate's common name. Raises Malformed (USAGE)."""
    return parse_identifier(f"{PREFIX}.{parse_name(zone, 'zone')}.{parse_name(name)}")


def parse_enforcer(value: str) -> EnforcerName:
    """Zone and name of an id. Raises Malformed (USAGE)."""
    prefix, _, rest = value.partition(".")
    zone, _, name = rest.partition(".")
    if prefix != PREFIX:
        raise Malformed.of(Reason.USAGE, "an id enforcer.<zone>.<name>", ascii(value[:150]))
    return EnforcerName(parse_name(zone, "zone"), parse_name(name))
