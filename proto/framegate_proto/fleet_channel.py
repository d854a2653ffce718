"""A connection to the controller's fleet service with this process's certificate, for one stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import grpc

from framegate_proto.targets import secured_target
from framegate_proto.v1 import framegate_pb2_grpc as rpc

MAX_UPDATE_BYTES: Final = 64 * 1024 * 1024
"""A snapshot of a zone with thousands of cameras, each with its facts and its signed masks."""


class FleetCaller(NamedTuple):
    """Who calls, as TLS takes it: `anchors` are the CAs of the fleet's servers, `chain` begins with
    the certificate of `key`; PEM, all of them.
    """

    anchors: bytes
    key: bytes
    chain: bytes


@asynccontextmanager
async def fleet_channel(at: str, server_name: str, caller: FleetCaller) -> AsyncIterator[Any]:
    """A stub of the fleet service of `server_name` at `at`, one address or several controllers'."""
    tls = grpc.ssl_channel_credentials(caller.anchors, caller.key, caller.chain)
    most = ("grpc.max_receive_message_length", MAX_UPDATE_BYTES)
    target = secured_target(at, server_name, most)
    async with grpc.aio.secure_channel(target.name, tls, options=target.options) as channel:
        yield rpc.FleetStub(channel)
