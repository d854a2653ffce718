"""A sink of the record: a SIEM, a broker or a file that gets every entry, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from framegate.errors import Malformed, Reason
from framegate.ocsf.logged import OcsfVersion
from framegate.redaction import clipped

MAX_SINKS: Final = 8
"""Each is a process; a plant has a SIEM, an archive, and one that is being tried."""
MAX_ADDRESS: Final = 500
MAX_CHANNEL: Final = 200


class SinkKind(StrEnum):
    """What a sink speaks."""

    FILE = "file"
    STDOUT = "stdout"
    SYSLOG = "syslog"
    HEC = "hec"
    ELASTIC = "elastic"
    KAFKA = "kafka"
    MQTT = "mqtt"
    OTLP = "otlp"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class SinkTraits:
    """What is known of a kind: how its address looks (empty where it has none), the channel within
    it that is used where none is named, and what its confirmation means.
    """

    address: str
    channel: str
    confirms: str


LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts towards which plain text does not leave this machine."""
TRAITS: Final[Mapping[SinkKind, SinkTraits]] = MappingProxyType(
    {
        SinkKind.FILE: SinkTraits("", "", "written and synchronised to disk"),
        SinkKind.STDOUT: SinkTraits("", "", "written; nobody says that it was kept"),
        SinkKind.SYSLOG: SinkTraits(
            "host:port", "", "TCP has it at the other host; syslog itself confirms nothing"
        ),
        SinkKind.HEC: SinkTraits("https://", "main", "the indexer acknowledged it"),
        SinkKind.ELASTIC: SinkTraits(
            "https://", "framegate-ocsf", "indexed, or there under its id"
        ),
        SinkKind.KAFKA: SinkTraits("host:port", "framegate-ocsf", "on all in-sync replicas"),
        SinkKind.MQTT: SinkTraits(
            "host:port", "framegate/ocsf", "the broker has it, and a subscriber for it"
        ),
        SinkKind.OTLP: SinkTraits("host:port or https://", "", "the collector took all of it over"),
        SinkKind.WEBHOOK: SinkTraits("https://", "", "the receiver answered 2xx"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """`confirmed` is the cursor: every entry below it was confirmed by the sink, or is a dead
    letter. It only rises by the sink's word. `failing_ms` is since when it has failed, 0 where it
    does not; `silent` that this was recorded.
    """

    name: str
    kind: SinkKind
    address: str
    channel: str
    version: OcsfVersion
    first: int
    confirmed: int
    confirmed_ms: int = 0
    failing_ms: int = 0
    failures: int = 0
    error: str = ""
    silent: bool = False
    dead: int = 0
    by: str = ""
    added_ms: int = 0


def parse_channel(kind: SinkKind, channel: str) -> str:
    """The topic or index within a sink, the kind's own where none is named. Raises Malformed
    (USAGE) for one where the kind has none, and for what is no such name.
    """
    own = TRAITS[kind].channel
    if channel and not own:
        raise Malformed.of(Reason.USAGE, f"no channel: {kind} has none", ascii(channel[:80]))
    name = channel or own
    if len(name) > MAX_CHANNEL or not all(c.isalnum() or c in "-_./" for c in name):
        wanted = f"a topic or index of up to {MAX_CHANNEL} letters, digits, '-', '_', '.', '/'"
        raise Malformed.of(Reason.USAGE, wanted, ascii(name[:80]))
    return name


def parse_address(kind: SinkKind, address: str) -> str:
    """Where a sink is.

    1. `file` and `stdout` have none;
    2. what is reached over HTTP is an https:// address without credentials, query or fragment;
       http:// to this machine alone;
    3. everything else is host:port, for Kafka several with commas between.

    Raises Malformed (USAGE).
    """
    form = TRAITS[kind].address
    wanted = f"an address for {kind}: {form}" if form else f"no address: {kind} has none"
    malformed = Malformed.of(Reason.USAGE, wanted, clipped(ascii(address), 80))
    if not form or len(address) > MAX_ADDRESS:  # 1
        if address:
            raise malformed
        return ""
    if form == "https://" or (kind == SinkKind.OTLP and "://" in address):  # 2
        if not _good_url(address):
            raise malformed
        return address
    hosts = address.split(",") if kind == SinkKind.KAFKA else [address]
    if not all(map(_good_host, hosts)):  # 3
        raise malformed
    return address


def _good_url(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    local = parts.scheme == "http" and parts.hostname in LOCAL
    return (
        bare and bool(parts.hostname) and address.isascii() and (parts.scheme == "https" or local)
    )


def _good_host(address: str) -> bool:
    host, _, port = address.rpartition(":")
    good = all(c.isalnum() or c in "-._:[]" for c in host) and host.isascii()
    return bool(host) and good and port.isascii() and port.isdigit() and 0 < int(port) < 65_536
