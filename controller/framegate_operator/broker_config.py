"""A whole configuration of a mosquitto broker: who it lets in and as whom, and how much it takes.

Source of every option: mosquitto.conf(5) of mosquitto 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.wire import MAX_FRAME_BYTES

PACKET_BYTES: Final = MAX_FRAME_BYTES + 64 * 1024
"""The largest packet there is: a sealed frame with its heads."""
IN_FLIGHT: Final = 64
"""Messages on their way to one client: as many as a camera has frames on the way."""
QUEUED: Final = 10_000
QUEUED_BYTES: Final = 64 * 1024 * 1024
"""Kept for one client that is away: an hour of a line's triggers; of frames two of the largest,
which are worth nothing late.
"""
CONNECTIONS: Final = 1_000
"""One for each name in the fleet, and one more while a client comes back."""
MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
"""All that clients together can make the broker keep."""
KEEPALIVE_S: Final = 120
"""Longest silence of a client; ours say every five or ten seconds that they are there. Not 60,
which a connection has before its CONNECT, and many clients ask for: mosquitto 2.0.21 ends one of
exactly the longest in its first second, now and then.
"""
SESSION_LIFE: Final = "1d"
"""Kept for a client that does not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFiles:
    """What a broker reads: the folder that `framegate-controller server-certificate NAME` wrote,
    that name, and the access list.
    """

    folder: Path
    name: str
    acl: Path


def mosquitto_conf(
    files: BrokerFiles, listen: tuple[str, int], *, connections: int = CONNECTIONS, user: str = ""
) -> str:
    """mosquitto.conf for the address and port in `listen`; `user` is who it runs as, by default
    mosquitto's own choice.
    """
    host, port = listen
    groups = (
        (
            "Where it listens: TLS 1.3, with certificates of this fleet on both sides.",
            f"listener {port} {host}".rstrip(),
            "tls_version tlsv1.3",
            f"cafile {files.folder}/clients.pem",
            f"certfile {files.folder}/{files.name}.pem",
            f"keyfile {files.folder}/{files.name}.key",
            "require_certificate true",
            "allow_anonymous false",
        ),
        (
            "A client is who its certificate says, and its client id is that name too, so nobody"
            " can take another's over.\n# Framegate's programs refuse a broker without this.",
            "use_identity_as_username true",
            "use_username_as_clientid true",
            f"acl_file {files.acl}",
        ),
        (
            "How much it takes and keeps.",
            f"max_connections {connections}",
            f"max_packet_size {PACKET_BYTES}",
            f"max_inflight_messages {IN_FLIGHT}",
            f"max_queued_messages {QUEUED}",
            f"max_queued_bytes {QUEUED_BYTES}",
            f"memory_limit {MEMORY_BYTES}",
            f"max_keepalive {KEEPALIVE_S}",
            "max_qos 1",
            "max_topic_alias 0",
            "retain_available false",
            "queue_qos0_messages false",
            f"persistent_client_expiration {SESSION_LIFE}",
            "persistence false",
        ),
        (
            "What it says.",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_dest stderr",
            "sys_interval 0",
            *([f"user {user}"] if user else []),
        ),
    )
    return "# Made by: framegate broker config.\n" + "".join(map(_group, groups))


def _group(lines: Iterable[str]) -> str:
    comment, *options = lines
    return "\n".join(["", f"# {comment}", *options, ""])
