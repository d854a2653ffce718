"""Calls of an agent at its controller."""

import grpc
import pytest

from framegate.errors import Unavailable
from framegate_agent.attestation import _call
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc


async def test_a_channel_that_was_closed_before_the_call_is_no_end_of_the_agent():
    """The TPM's work lies between: its watch may have found the certificate's end meanwhile."""
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    stub = rpc.FleetStub(channel)
    await channel.close()
    with pytest.raises(Unavailable, match="the connection was closed"):
        await _call(stub.Begin, pb.BeginRequest(hello=b""), ())
