"""A connection to the controller with this process's own certificate, for one stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc

from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_proto.targets import target_of
from framegate_proto.v1 import framegate_pb2_grpc as rpc

MAX_UPDATE_BYTES: Final = 64 * 1024 * 1024
"""A snapshot of a zone with thousands of cameras, each with its facts and its signed masks."""


@asynccontextmanager
async def fleet_stub(keys: GatewayKeys, credentials: Credentials) -> AsyncIterator[Any]:
    """A stub of the controller's fleet service, under `credentials`. Raises Refused where `keys`
    have none any more.
    """
    key, chain = keys.chain_pem()
    tls = grpc.ssl_channel_credentials(credentials.authority("server-ca"), key, chain)
    target = target_of(credentials.fleet_address)
    options = (
        *target.options,
        ("grpc.ssl_target_name_override", credentials.server_name),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", MAX_UPDATE_BYTES),
    )
    async with grpc.aio.secure_channel(target.name, tls, options=options) as channel:
        yield rpc.FleetStub(channel)
