"""N80, N81, N83: every RPC of the fleet port with every wrong certificate, over real TLS."""

import grpc
import pytest

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate_controller.ca.open import found_fleet
from framegate_controller.server import Controller
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import signed_in
from support.fleet_port import channel, credentials

WAIT_S = 30.0
"""For a call that is answered at once, on a machine that may be busy."""
OPERATOR_CALLS = {
    "Invite": pb.InviteRequest(kind="camera", name="x", zone="z", profile="p"),
    "List": pb.ListRequest(),
    "Show": pb.DeviceRequest(device="x"),
    "Change": pb.ChangeRequest(device="x", event="release"),
    "AddTpmCa": pb.TpmCa(),
    "ListTpmCas": pb.ListRequest(),
    "FleetStatus": pb.ListRequest(),
    "Events": pb.EventsRequest(),
}


DEVICE_CALLS = {
    "Begin": pb.BeginRequest(),
    "Complete": [pb.EvidencePart()],
    "Watch": pb.WatchRequest(),
    "FetchGrants": pb.FetchGrantsRequest(nonce=b"n" * 32),
}


GATEWAY_CALLS = {"TrustFeed": pb.TrustFeedRequest()}


STREAMS = {"Watch", "TrustFeed"}


async def refusals(
    controller: Controller, fleet, pair, stub_class, calls
) -> dict[str, tuple[grpc.StatusCode, Reason]]:
    outcomes = {}
    async with channel(controller, fleet, pair) as opened:
        stub = stub_class(opened)
        for name, request in calls.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                if name in STREAMS:
                    assert await getattr(stub, name)(request, timeout=WAIT_S).read() is grpc.aio.EOF
                    raise AssertionError(f"{name} ended without an error")
                await getattr(stub, name)(request, timeout=WAIT_S)
            outcomes[name] = (caught.value.code(), from_rpc_error(caught.value, "").reason)
    return outcomes


ALL = ((rpc.OperatorStub, OPERATOR_CALLS), (rpc.FleetStub, DEVICE_CALLS | GATEWAY_CALLS))


async def test_n80_no_certificate_and_another_fleets_certificate_end_in_the_handshake(
    controller, tmp_path
):
    running, fleet = controller
    other = found_fleet(tmp_path / "other", "plant")
    for pair in (
        None,
        credentials(other, "operator-ca", Purpose.OPERATOR, "operator.anna"),
        credentials(other, "device-ca", Purpose.DEVICE, "camera.line-1.cam1"),
    ):
        for stub, calls in ALL:
            assert {
                code for code, _ in (await refusals(running, fleet, pair, stub, calls)).values()
            } == {grpc.StatusCode.UNAVAILABLE}


async def test_n80_expired_certificates(controller):
    running, fleet = controller
    for label, purpose, name in (
        ("operator-ca", Purpose.OPERATOR, "operator.anna"),
        ("device-ca", Purpose.DEVICE, "camera.line-1.cam1"),
    ):
        pair = credentials(fleet, label, purpose, name, -30)
        for stub, calls in ALL:
            assert {
                code for code, _ in (await refusals(running, fleet, pair, stub, calls)).values()
            } <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize(
    ("label", "purpose", "name"),
    [
        ("device-ca", Purpose.DEVICE, "operator.anna"),
        ("gateway-ca", Purpose.GATEWAY, "operator.anna"),
        ("gateway-ca", Purpose.VERDICT, "operator.anna"),
    ],
)
async def test_n81_a_machines_certificate_opens_no_operators_call_whatever_its_name(
    controller, label, purpose, name
):
    running, fleet = controller
    outcomes = await refusals(
        running, fleet, credentials(fleet, label, purpose, name), rpc.OperatorStub, OPERATOR_CALLS
    )
    assert {r for _, r in outcomes.values()} <= {
        Reason.WRONG_ROLE,
        Reason.UNAVAILABLE,
    } and grpc.StatusCode.OK not in {c for c, _ in outcomes.values()}
    if purpose != Purpose.VERDICT:  # a verdict key is no TLS client at all
        assert {r for _, r in outcomes.values()} == {Reason.WRONG_ROLE}


async def test_n80_an_operators_certificate_is_no_machine(controller):
    running, fleet = controller
    pair = signed_in(running.store, fleet, "anna")
    outcomes = await refusals(running, fleet, pair, rpc.FleetStub, DEVICE_CALLS | GATEWAY_CALLS)
    assert {r for _, r in outcomes.values()} == {Reason.WRONG_ROLE}


async def test_n80_device_certificate_of_a_device_the_registry_does_not_know(controller):
    running, fleet = controller
    outcomes = await refusals(
        running,
        fleet,
        credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.ghost"),
        rpc.FleetStub,
        DEVICE_CALLS,
    )
    assert {r for _, r in outcomes.values()} == {Reason.CERTIFICATE}


async def test_n80_device_is_no_gateway_and_gateway_no_device(controller):
    running, fleet = controller
    outcomes = await refusals(
        running,
        fleet,
        credentials(fleet, "device-ca", Purpose.DEVICE, "gateway.line-1.gw1"),
        rpc.FleetStub,
        GATEWAY_CALLS,
    )
    assert {r for _, r in outcomes.values()} == {Reason.WRONG_ROLE}
    outcomes = await refusals(
        running,
        fleet,
        credentials(fleet, "gateway-ca", Purpose.GATEWAY, "gateway.line-1.gw1"),
        rpc.FleetStub,
        DEVICE_CALLS | GATEWAY_CALLS,
    )
    assert {r for n, (_, r) in outcomes.items() if n in DEVICE_CALLS} == {Reason.WRONG_ROLE}
    assert outcomes["TrustFeed"][1] == Reason.NOT_TRUSTED


async def test_n83_a_resumed_tls_session_skips_no_check(controller):
    """A resumed session shows its chain to nobody, so every call asks for certificate, purpose
    and registry anew, resumed or not.
    """
    from grpc.experimental import session_cache

    running, fleet = controller
    cache = session_cache.ssl_session_cache_lru(8)
    for label, purpose, name, stub, calls, reason in (
        (
            "device-ca",
            Purpose.DEVICE,
            "camera.line-1.ghost",
            rpc.FleetStub,
            DEVICE_CALLS,
            Reason.CERTIFICATE,
        ),
        (
            "device-ca",
            Purpose.DEVICE,
            "operator.eve",
            rpc.OperatorStub,
            OPERATOR_CALLS,
            Reason.WRONG_ROLE,
        ),
    ):
        pair = credentials(fleet, label, purpose, name)
        tls = grpc.ssl_channel_credentials(fleet.root.pem, *pair)
        options = (
            ("grpc.ssl_target_name_override", "controller.plant.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.ssl_session_cache", cache),
        )
        for _ in range(3):  # the second and third may resume the first's session
            async with grpc.aio.secure_channel(
                running.fleet_address, tls, options=options
            ) as opened:
                for call, request in calls.items():
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        method = getattr(stub(opened), call)(request, timeout=WAIT_S)
                        await (method.read() if call in STREAMS else method)
                    assert from_rpc_error(caught.value, "").reason == reason, call
