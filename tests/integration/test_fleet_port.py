"""N84, N117, N121: what the join port and the fleet port serve, to whom, and what they survive."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate.pilot.word import verify_stage_word
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import signed_in
from support.fleet_port import channel, credentials, invited, joined

WAIT_S = 30.0
"""For a call that is answered at once, on a machine that may be busy."""


async def test_join_port_serves_neither_fleet_nor_operators(controller):
    running, fleet = controller
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    async with channel(running, fleet, pair, running.join_address) as opened:
        for call in (
            rpc.OperatorStub(opened).List(pb.ListRequest(), timeout=WAIT_S),
            rpc.FleetStub(opened).Begin(pb.BeginRequest(), timeout=WAIT_S),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_operators_calls_work_and_say_what_is_wrong(controller):
    running, fleet = controller
    pair = signed_in(running.store, fleet, "anna")
    async with channel(running, fleet, pair) as opened:
        stub = rpc.OperatorStub(opened)
        assert (await stub.FleetStatus(pb.ListRequest())).fleet == "plant"
        for call, reason in (
            (
                stub.Invite(pb.InviteRequest(kind="camera", name="a b", zone="z", profile="p")),
                Reason.USAGE,
            ),
            (stub.Invite(pb.InviteRequest(kind="toaster", name="a")), Reason.USAGE),
            (
                stub.Invite(pb.InviteRequest(kind="camera", name="a", zone="z", profile="none")),
                Reason.PROFILE_MISSING,
            ),
            (stub.Show(pb.DeviceRequest(device="x\x1b[2J")), Reason.NOT_FOUND),
            (
                stub.Invite(
                    pb.InviteRequest(
                        kind="camera", name="a", zone="z", profile="none", ek_sha256="xyz"
                    )
                ),
                Reason.USAGE,
            ),
            (stub.Change(pb.ChangeRequest(device="x", event="explode")), Reason.USAGE),
            (stub.AddTpmCa(pb.TpmCa(certificate=b"junk")), Reason.CERTIFICATE),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert from_rpc_error(caught.value, "").reason == reason
            assert "\x1b" not in str(caught.value)


async def test_n84_huge_messages_and_headers_are_refused_and_the_port_lives_on(controller):
    running, fleet = controller
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        for request, metadata in (
            (pb.BeginRequest(hello=bytes(8 * 1024 * 1024)), None),
            (pb.BeginRequest(), (("x", "y" * 40_000),)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Begin(request, metadata=metadata, timeout=WAIT_S)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Begin(pb.BeginRequest(hello=b"x"), timeout=WAIT_S)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_n84_half_open_connections_do_not_stop_the_port(controller):
    running, fleet = controller
    host, port = running.join_address.split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
    async with channel(running, fleet, None, running.join_address) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.JoinStub(opened).Begin(pb.BeginRequest(hello=b"x"), timeout=WAIT_S)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for _, writer in silent:
        writer.close()


async def test_n117_an_operator_who_releases_a_reset_device_sets_the_new_baseline(
    controller, maker
):
    """After TPM2_Clear the counters stay below what was seen: release must let fresh evidence
    pass, and nothing else may.
    """
    from dataclasses import replace

    running, fleet = controller
    forge = invited(running, maker, Kind.CAMERA, "cam1", "z")

    def join(code: bytes = b"") -> str:
        return joined(running, forge, code).state

    forge.clock = replace(forge.clock, reset_count=9)
    assert join(b"c" * 16) == "trusted"
    forge.clock = replace(forge.clock, reset_count=0)
    assert join() == "suspect"
    assert join() == "suspect"
    pair = signed_in(running.store, fleet, "anna")
    async with channel(running, fleet, pair) as opened:
        assert (
            await rpc.OperatorStub(opened).Change(
                pb.ChangeRequest(device="cam1", event="release", reason="mainboard serviced")
            )
        ).state == "stale"
        events = (await rpc.OperatorStub(opened).Events(pb.EventsRequest(device="cam1"))).events
    assert "counters-accepted" in {e.event for e in events}
    assert join() == "trusted"


async def test_n121_feed_is_closed_to_a_gateway_process_that_its_host_does_not_vouch_for(
    controller, maker
):
    """Two processes with good certificates of one trusted host: only the one whose keys the
    host's last quote covers gets the feed.
    """
    from framegate.identity.names import DeviceId
    from framegate.wire import GatewayPublics
    from framegate_controller.ca.issue import issue_gateway
    from framegate_gateway.trust.keys import GatewayKeys

    running, fleet = controller
    forge = invited(running, maker, Kind.GATEWAY, "gw1", "line-1")
    vouched, replaced = (GatewayKeys("127.0.0.1:1", "127.0.0.1:2", b"m" * 32) for _ in range(2))
    forge.publics = (vouched.newest.publics,)
    assert joined(running, forge, b"c" * 16).state == "trusted"
    for process, reason in ((vouched, None), (replaced, Reason.NOT_TRUSTED)):
        tls, _ = issue_gateway(
            fleet,
            DeviceId("gateway.line-1.gw1"),
            GatewayPublics.parse(process.newest.publics),
            timedelta(minutes=3),
            datetime.now(UTC),
        )
        pair = (
            private_pem(process.tls_key),
            tls.public_bytes(Encoding.PEM) + fleet.issuing["gateway-ca"].pem,
        )
        async with channel(running, fleet, pair) as opened:
            call = rpc.FleetStub(opened).TrustFeed(pb.TrustFeedRequest(), timeout=WAIT_S)
            if reason is None:
                update = await call.read()
                assert update.snapshot and [d.device for d in update.devices] == [
                    "gateway.line-1.gw1"
                ]
                root = fleet.root.certificate
                word = verify_stage_word(
                    update.stage, "line-1", fleet.intermediates, root, datetime.now(UTC)
                )
                assert word.stage == "enforce", "no zone is lifted that no policy lifts"
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert from_rpc_error(caught.value, "").reason == reason


async def test_n143_the_watch_over_the_event_loop_sees_a_transaction_on_it(
    off_the_loop, tmp_path, monkeypatch
):
    """The control of what every test with a running controller asserts at its end."""
    from framegate_controller.people.signin import SignIn
    from framegate_controller.store.database import open_registry

    store = open_registry(tmp_path / "registry.db")

    class There:
        _store = store

    await asyncio.to_thread(SignIn.restore, There)
    assert not off_the_loop
    monkeypatch.setattr("support.fleet_port.asked_by_a_test", lambda _names: False)
    SignIn.restore(There)
    assert [c.split(":")[0] for c in off_the_loop] == ["framegate_controller.people.signin"]
    off_the_loop.clear()
    store.close()
