"""N80, N81, N82, N84: every RPC of the fleet port with every wrong certificate, over real TLS;
join port; oversized messages.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import certify
from framegate_controller.ca.open import found_fleet
from framegate_controller.ca.template import leaf_template
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import signed_in
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of

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
    "Complete": pb.CompleteRequest(),
    "Watch": pb.WatchRequest(),
    "FetchGrants": pb.FetchGrantsRequest(nonce=b"n" * 32),
}
GATEWAY_CALLS = {"TrustFeed": pb.TrustFeedRequest()}
STREAMS = {"Watch", "TrustFeed"}


@pytest.fixture
async def controller(tmp_path):
    fleet = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    yield running, fleet
    await running.stop(0)


def credentials(
    fleet, label: str, purpose: Purpose, name: str, life_s: float = 600
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        fleet.issuing[label],
        leaf_template(
            purpose, name, key.public_key(), timedelta(seconds=life_s), datetime.now(UTC)
        ),
    )
    return private_pem(key), leaf.public_bytes(Encoding.PEM) + fleet.issuing[label].pem


def channel(
    controller: Controller, fleet, pair: tuple[bytes, bytes] | None, address: str = ""
) -> grpc.aio.Channel:
    tls = grpc.ssl_channel_credentials(fleet.root.pem, *(pair or (None, None)))
    options = (
        ("grpc.ssl_target_name_override", "controller.plant.framegate"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
    )
    return grpc.aio.secure_channel(address or controller.fleet_address, tls, options=options)


async def refusals(
    controller: Controller, fleet, pair, stub_class, calls
) -> dict[str, tuple[grpc.StatusCode, Reason]]:
    found = {}
    async with channel(controller, fleet, pair) as opened:
        stub = stub_class(opened)
        for name, request in calls.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                if name in STREAMS:
                    assert await getattr(stub, name)(request, timeout=5).read() is grpc.aio.EOF
                    raise AssertionError(f"{name} ended without an error")
                await getattr(stub, name)(request, timeout=5)
            found[name] = (caught.value.code(), from_rpc_error(caught.value, "").reason)
    return found


def invited(running: Controller, maker, kind: Kind, name: str, zone: str) -> Forge:
    """A machine with a ticket, and a profile that it fits."""
    profile = f"simulated-{kind}"
    forge = Forge(maker, Firmware(profile))
    invitation = Invitation(
        kind=kind,
        zone=zone,
        name=name,
        profile=profile,
        ek_sha256=forge.ek_sha256,
        code=b"c" * 16,
        life_s=60,
    )
    with running.store.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of(profile, forge.firmware.release), 0)
        add_profile(tx, running.fleet.keys, profile_toml(forge.firmware, profile).encode())
        invite(tx, invitation)
    return forge


def joined(running: Controller, forge: Forge, code: bytes) -> Answer:
    hello = forge.hello(code)
    made = running.verifier.begin_join(hello, "p")
    mac, proof = forge.answer(running.fleet.digest, hello, made.challenge)
    return running.verifier.complete_join(made.state, mac, proof)


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
    found = await refusals(
        running, fleet, credentials(fleet, label, purpose, name), rpc.OperatorStub, OPERATOR_CALLS
    )
    assert {r for _, r in found.values()} <= {
        Reason.WRONG_ROLE,
        Reason.UNAVAILABLE,
    } and grpc.StatusCode.OK not in {c for c, _ in found.values()}
    if purpose != Purpose.VERDICT:  # a verdict key is no TLS client at all
        assert {r for _, r in found.values()} == {Reason.WRONG_ROLE}


async def test_n80_an_operators_certificate_is_no_machine(controller):
    running, fleet = controller
    pair = signed_in(running.store, fleet, "anna")
    found = await refusals(running, fleet, pair, rpc.FleetStub, DEVICE_CALLS | GATEWAY_CALLS)
    assert {r for _, r in found.values()} == {Reason.WRONG_ROLE}


async def test_n80_device_certificate_of_a_device_the_registry_does_not_know(controller):
    running, fleet = controller
    found = await refusals(
        running,
        fleet,
        credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.ghost"),
        rpc.FleetStub,
        DEVICE_CALLS,
    )
    assert {r for _, r in found.values()} == {Reason.CERTIFICATE}


async def test_n80_device_is_no_gateway_and_gateway_no_device(controller):
    running, fleet = controller
    found = await refusals(
        running,
        fleet,
        credentials(fleet, "device-ca", Purpose.DEVICE, "gateway.line-1.gw1"),
        rpc.FleetStub,
        GATEWAY_CALLS,
    )
    assert {r for _, r in found.values()} == {Reason.WRONG_ROLE}
    found = await refusals(
        running,
        fleet,
        credentials(fleet, "gateway-ca", Purpose.GATEWAY, "gateway.line-1.gw1"),
        rpc.FleetStub,
        DEVICE_CALLS | GATEWAY_CALLS,
    )
    assert {r for n, (_, r) in found.items() if n in DEVICE_CALLS} == {Reason.WRONG_ROLE}
    assert found["TrustFeed"][1] == Reason.NOT_TRUSTED


async def test_join_port_serves_neither_fleet_nor_operators(controller):
    running, fleet = controller
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    async with channel(running, fleet, pair, running.join_address) as opened:
        for call in (
            rpc.OperatorStub(opened).List(pb.ListRequest(), timeout=5),
            rpc.FleetStub(opened).Begin(pb.BeginRequest(), timeout=5),
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
                await stub.Begin(request, metadata=metadata, timeout=5)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Begin(pb.BeginRequest(hello=b"x"), timeout=5)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_n84_half_open_connections_do_not_stop_the_port(controller):
    running, fleet = controller
    host, port = running.join_address.split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
    async with channel(running, fleet, None, running.join_address) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.JoinStub(opened).Begin(pb.BeginRequest(hello=b"x"), timeout=5)
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
            call = rpc.FleetStub(opened).TrustFeed(pb.TrustFeedRequest(), timeout=5)
            if reason is None:
                update = await call.read()
                assert update.snapshot and [d.device for d in update.devices] == [
                    "gateway.line-1.gw1"
                ]
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert from_rpc_error(caught.value, "").reason == reason


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
                        method = getattr(stub(opened), call)(request, timeout=5)
                        await (method.read() if call in STREAMS else method)
                    assert from_rpc_error(caught.value, "").reason == reason, call
