"""A connection to the controller with this process's own certificate, for one stay."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_proto.fleet_channel import FleetCaller, fleet_channel


def fleet_stub(keys: GatewayKeys, credentials: Credentials) -> AbstractAsyncContextManager[Any]:
    """A stub of the controller's fleet service, under `credentials`. Raises Refused where `keys`
    have none any more.
    """
    key, chain = keys.chain_pem()
    caller = FleetCaller(credentials.authority("server-ca"), key, chain)
    return fleet_channel(credentials.fleet_address, credentials.server_name, caller)
