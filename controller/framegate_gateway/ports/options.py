"""What a gateway's ports take of whoever comes, before anybody knows who that is."""

from __future__ import annotations

from typing import Final

from framegate.wire import MAX_FRAME_BYTES

MAX_CONNECTIONS: Final = 1_024
"""At once, at each port: two hundred cameras with four sources each. gRPC takes no more before TLS:
whoever says nothing has a place for the handshake's ten seconds, and no descriptor of the rest.
"""
CROWDED: Final = MAX_CONNECTIONS - 128
"""From there on whoever has no call under way gives way, so that there is a place for whoever comes
(`framegate_proto/port_crowd.py`).
"""
DESCRIPTORS: Final = 4 * MAX_CONNECTIONS
"""Three ports', and as many as one of them for receipts, children and the vault."""
SERVER_OPTIONS: Final = (
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES + 64 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)
