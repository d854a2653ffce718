"""The peer of a gRPC call."""

from __future__ import annotations

from datetime import UTC, datetime

from framegate.identity.certificates import Purpose
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.peer import Peer
from framegate_controller.ca.peer import verify_peer as verify
from framegate_controller.rpc.wire import Context
from framegate_proto.edge import presented_certificate


def verify_peer(context: Context, keys: FleetKeys, *purposes: Purpose) -> Peer:
    """See `ca.peer.verify_peer`; at this moment."""
    return verify(
        presented_certificate(context), address_of(context), keys, datetime.now(UTC), *purposes
    )


def address_of(context: Context) -> str:
    """The peer's address without its port, the unit that rate limits count by."""
    return context.peer().rsplit(":", 1)[0]
