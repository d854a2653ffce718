"""Names and identifiers as types of their own, checked once where they enter."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from framegate.errors import Malformed, Reason

DeviceName = NewType("DeviceName", str)
Zone = NewType("Zone", str)
DeviceId = NewType("DeviceId", str)
"""`<kind>.<zone>.<name>`: also the certificate's common name and the broker's identity."""

MAX_COMMON_NAME: Final = 64
"""Characters of what stands as a certificate's common name (ub-common-name, RFC 5280, A.1)."""
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """What a machine is enrolled as; decides what its certificate may do."""

    CAMERA = "camera"
    GATEWAY = "gateway"
    BACKEND = "backend"


class DeviceIdParts(NamedTuple):
    """What a device id says."""

    kind: Kind
    zone: Zone
    name: DeviceName


def parse_name(value: str, what: str = "name") -> DeviceName:
    """`value` as a name: a DNS label of 1 to 63 of a-z, 0-9 and inner hyphens. Raises Malformed
    (USAGE).
    """
    if not _NAME.fullmatch(value):
        raise Malformed.of(
            Reason.USAGE,
            f"a {what} of 1 to 63 characters a-z, 0-9 and '-', not at its ends",
            ascii(value[:80]),
        )
    return DeviceName(value)


def device_id(kind: Kind, zone: str, name: str) -> DeviceId:
    """The device's id out of its three checked parts. Raises Malformed (USAGE), also where it is
    too long for a certificate.
    """
    return DeviceId(parse_identifier(f"{kind}.{parse_name(zone, 'zone')}.{parse_name(name)}"))


def parse_identifier(identifier: str) -> str:
    """`identifier`, which is to stand in a certificate as its common name. Raises Malformed (USAGE)
    where it is too long.
    """
    if len(identifier) > MAX_COMMON_NAME:
        expected = f"names that make an identity of at most {MAX_COMMON_NAME} characters"
        raise Malformed.of(
            Reason.USAGE,
            expected,
            f"{len(identifier)}: {identifier[:80]}",
            "a shorter zone or name: it stands in the machine's certificate",
        )
    return identifier


def split_device_id(value: str) -> DeviceIdParts:
    """Kind, zone and name of a device id. Raises Malformed."""
    kind, _, rest = value.partition(".")
    zone, _, name = rest.partition(".")
    if kind not in set(Kind):
        raise Malformed.of(
            Reason.USAGE, f"an id <{'|'.join(Kind)}>.<zone>.<name>", ascii(value[:150])
        )
    return DeviceIdParts(Kind(kind), Zone(parse_name(zone, "zone")), parse_name(name))


def spiffe_id(device: DeviceId, fleet: str) -> str:
    """The SPIFFE ID of a device: spiffe://<fleet>.framegate/<kind>/<zone>/<name> (SPIFFE-ID
    2.1).
    """
    return f"spiffe://{fleet}.framegate/" + "/".join(device.split("."))
