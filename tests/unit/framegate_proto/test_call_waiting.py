"""For which calls a server waits by themselves."""

import grpc
import pytest
from grpc_health.v1 import health_pb2

from framegate_controller.rpc.fleet_front import OFTEN
from framegate_proto.call_waiting import waited_together
from framegate_proto.health_service import HealthService
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc


class Fleet(rpc.FleetServicer):
    async def Begin(self, request, _context):
        return pb.ChallengeReply(state=request.hello)

    async def FetchGrants(self, request, _context):
        return pb.FetchGrantsReply(grants=[request.nonce])


class Waiting:
    """Notes by which names a server waits for calls apart, and what answers any."""

    def __init__(self) -> None:
        self.apart, self.generic = {}, []

    def add_generic_rpc_handlers(self, handlers):
        self.generic += handlers

    def add_registered_method_handlers(self, service, handlers):
        self.apart[service] = set(handlers)


@pytest.mark.parametrize("apart", [(), ("Begin",), ("Begin", "Watch"), ("begin", "Fleet.Begin")])
def test_only_named_methods_are_waited_for_apart(apart):
    seen = Waiting()
    rpc.add_FleetServicer_to_server(Fleet(), waited_together(seen, *apart))
    own = {name for name in apart if hasattr(Fleet, name)}
    assert seen.apart == ({"framegate_proto.v1.Fleet": own} if own else {})
    assert len(seen.generic) == 1


def test_health_waits_for_nothing_apart():
    seen = Waiting()
    HealthService(lambda: True).add_to(seen)
    assert not seen.apart
    assert len(seen.generic) == 1


def test_what_machines_call_often_are_calls_of_the_fleet_port():
    assert set(OFTEN) <= {m.name for m in pb.DESCRIPTOR.services_by_name["Fleet"].methods}


async def test_calls_are_answered_however_they_are_waited_for():
    server = grpc.aio.server()
    rpc.add_FleetServicer_to_server(Fleet(), waited_together(server, "Begin"))
    rpc.add_JoinServicer_to_server(rpc.JoinServicer(), waited_together(server))
    HealthService(lambda: True).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        fleet = rpc.FleetStub(channel)
        assert (await fleet.Begin(pb.BeginRequest(hello=b"h"))).state == b"h"
        assert (await fleet.FetchGrants(pb.FetchGrantsRequest(nonce=b"n"))).grants == [b"n"]
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        await check(health_pb2.HealthCheckRequest())
        for nobodys in ("/framegate_proto.v1.Fleet/Nothing", "/nobody.Service/Begin"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(nobodys)(b"")
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)
