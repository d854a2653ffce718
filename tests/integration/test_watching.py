"""A controller that runs, watched: health over gRPC and HTTP, metrics, findings on behaviour."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from framegate.identity.certificates import Purpose
from framegate.record.entry import Act
from framegate.record.people_events import BreakGlassUsed
from framegate_host.telemetry.listener import Watched
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel, credentials
from support.scrape import get, listening, promtool_is_pleased, series
from support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def watched(controller):
    running, fleet = controller
    metrics = running.metrics
    shown = Watched("controller", metrics.exposition, metrics.checks, metrics.read)
    async with listening(shown) as at:
        yield running, fleet, at.port


async def test_health_is_served_to_whoever_may_open_the_port_and_to_nobody_else(controller):
    running, fleet = controller
    pair = credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.cam1")
    async with channel(running, fleet, pair) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        asked = health_pb2.HealthCheckRequest()
        assert (await stub.Check(asked, timeout=30)).status == SERVING
        call = stub.Watch(asked, timeout=60)
        assert (await call.read()).status == SERVING
        running.join_port._process, process = None, running.join_port._process
        assert (await call.read()).status == NOT_SERVING
        running.join_port._process = process
        assert (await call.read()).status == SERVING
        call.cancel()
    async with channel(running, fleet, None) as opened:
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(opened).Check(asked, timeout=10)


async def test_readiness_names_the_check_and_promtool_is_pleased(watched):
    running, _, port = watched
    status, page = await get(port, "/readyz?verbose")
    assert status == 200
    assert page.splitlines()[:3] == ["[+]store ok", "[+]join-port ok", "[+]clockwork ok"]
    process, running.join_port._process = running.join_port._process, None
    assert (await get(port, "/readyz"))[0] == 503
    running.join_port._process = process
    promtool_is_pleased((await get(port, "/metrics"))[1])


async def test_calls_are_counted_and_a_finding_is_in_the_record_within_seconds(watched):
    running, fleet, port = watched
    pair = credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.cam1")
    async with channel(running, fleet, pair) as opened:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.OperatorStub(opened).FleetStatus(pb.ListRequest(), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.FleetStub(opened).FetchGrants(pb.FetchGrantsRequest(nonce=b"x"), timeout=30)
    ended = running.metrics.calls.ended
    assert ended["Operator.FleetStatus", "refused"] == 1
    assert ended["Fleet.FetchGrants", "refused"] == 1
    with running.store.writing() as tx:
        tx.act = Act(actor="operator.anna", source="10.0.0.1")
        tx.record(BreakGlassUsed(source="10.0.0.1"))
    counts = running.metrics.counts
    await until(lambda: counts.events["behaviour-noticed"])
    told = series((await get(port, "/metrics"))[1])
    assert told["framegate_events_total", (("event", "behaviour-noticed"),)] == 1
    assert told["framegate_events_by_severity_total", (("severity", "critical"),)] == 1
