"""The fleet port beside its calls: who is calling, and streams whose peer's standing is asked about."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, spki_of
from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.registry.device import GatewayProcess
from framegate.wire import sha256
from framegate_controller.ca.issue import certify, issue_gateway
from framegate_controller.ca.peer import verify_peer
from framegate_controller.ca.template import leaf_template
from framegate_controller.fleet.broker import broker_certificate
from framegate_controller.fleet.callers import device_key, gateway_host, standing_device
from framegate_controller.rpc.recheck import Recheck
from framegate_controller.rpc.wire import to_the_end
from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.fixtures.access import certificate_request

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"


def refused(work) -> Reason:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value.reason


def caller(bench, key_sha256: bytes) -> str:
    with bench.store.reading() as tx:
        return standing_device(tx, key_sha256).id


# --- machines ---


def test_a_connection_outlives_its_certificate_where_a_later_one_stands(bench):
    """The agent keeps its connection over renewals: the key is the same, and the registry knows until when it is good."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issuer = bench.keys.issuing["device-ca"]
    now = from_ms(bench.clock())
    made = certify(issuer, leaf_template(Purpose.DEVICE, CAMERA, key, timedelta(minutes=3), now))
    for at in (now, now + timedelta(minutes=9)):
        assert device_key(made, "ipv4:10.0.0.1", bench.keys, at) == sha256(spki_of(key))
    gateway = certify(bench.keys.issuing["gateway-ca"], leaf_template(Purpose.GATEWAY, GATEWAY, key, timedelta(minutes=3), now))
    for at in (now, now + timedelta(minutes=9)):
        assert refused(lambda at=at: device_key(gateway, "ipv4:10.0.0.1", bench.keys, at)) == Reason.WRONG_ROLE


def test_only_the_present_key_of_an_enrolled_machine_calls(bench):
    bench.enrol()
    key = bench.device().tls.spki_sha256
    assert caller(bench, key) == CAMERA
    assert refused(lambda: caller(bench, bytes(32))) == Reason.CERTIFICATE
    bench.clock.pass_s(3600)
    assert refused(lambda: caller(bench, key)) == Reason.CERTIFICATE_EXPIRED
    bench.move(Edge.RETIRE)
    assert refused(lambda: caller(bench, key)) == Reason.CERTIFICATE


def test_only_a_trusted_machine_gets_a_certificate_for_the_broker_and_no_longer_than_its_own(bench):
    bench.enrol()
    device = bench.device()
    made = broker_certificate(bench.fleet, device, certificate_request())
    assert abs(made.not_valid_after_utc - from_ms(device.certificate_expires_ms)) < timedelta(seconds=2)
    bench.move(Edge.QUARANTINE)
    assert refused(lambda: broker_certificate(bench.fleet, bench.device(), certificate_request())) == Reason.NOT_TRUSTED
    bench.clock.pass_s(3600)
    assert refused(lambda: broker_certificate(bench.fleet, device, certificate_request())) == Reason.NOT_TRUSTED


# --- gateway processes ---


def test_only_a_process_that_its_trusted_host_vouches_for_calls(bench):
    bench.enrol("gw1", Kind.GATEWAY)
    vouched, replaced = (GatewayKeys("127.0.0.1:1", "127.0.0.1:2", b"m" * 32).newest.publics for _ in range(2))
    process = GatewayProcess(publics_sha256=sha256(vouched), host=GATEWAY, publics=vouched, result_id="r")
    with bench.store.writing() as tx:
        tx.gateways.replace(GATEWAY, [process])

    def host(publics: bytes, name: str = GATEWAY) -> str:
        from framegate.wire import GatewayPublics

        now = from_ms(bench.clock())
        tls, _ = issue_gateway(bench.keys, name, GatewayPublics.parse(publics), timedelta(minutes=3), now)
        peer = verify_peer(tls, "ipv4:10.0.0.1", bench.keys, now, Purpose.GATEWAY)
        with bench.store.reading() as tx:
            return gateway_host(tx, peer).id

    assert host(vouched) == GATEWAY
    assert refused(lambda: host(replaced)) == Reason.NOT_TRUSTED
    assert refused(lambda: host(vouched, "gateway.line-1.another")) == Reason.NOT_TRUSTED
    bench.enrol()
    assert refused(lambda: host(vouched, CAMERA)) == Reason.NOT_TRUSTED
    bench.move(Edge.QUARANTINE, GATEWAY)
    assert refused(lambda: host(vouched)) == Reason.NOT_TRUSTED


# --- streams ---


async def test_a_registry_that_takes_its_time_holds_up_no_message_and_ends_the_stream_once_it_says_no():
    answered, asked = asyncio.Event(), []

    async def question() -> None:
        asked.append(1)
        await answered.wait()
        raise Refused.of(Reason.NOT_TRUSTED, "a", "b")

    recheck = Recheck(question, every_s=0)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(3):
        await recheck.ask()
    assert loop.time() - begun < 1 and asked == [1]
    answered.set()
    await asyncio.sleep(0.01)
    with pytest.raises(Refused):
        await recheck.ask()
    recheck.close()


async def test_a_peer_is_asked_about_every_so_often_and_at_once_refused():
    times = []

    async def question() -> None:
        times.append(1)

    recheck = Recheck(question, every_s=0.2)
    for _ in range(5):
        await recheck.ask()
    assert times == []
    await asyncio.sleep(0.25)
    for _ in range(5):
        await recheck.ask()
    assert times == [1]

    async def refusal() -> None:
        raise Refused.of(Reason.NOT_TRUSTED, "a", "b")

    with pytest.raises(Refused):
        await Recheck(refusal, every_s=-1).ask()


async def test_what_is_committed_is_told_though_its_caller_hangs_up():
    committed, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        committed.set()
        await go_on.wait()
        told.set()

    call = asyncio.create_task(to_the_end(work()))
    await committed.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await asyncio.wait_for(told.wait(), 1)


def test_who_is_in_maintenance_says_so_in_its_facts(bench):
    from framegate_controller.fleet.facts import facts_of

    bench.enrol()
    device = bench.device()
    facts = facts_of(device, bench.clock())
    assert (facts["id"], facts["state"], facts["maintenance"]) == (CAMERA, "trusted", False)
    serviced = replace(device, maintenance_until_ms=bench.clock() + 1)
    assert facts_of(serviced, bench.clock())["maintenance"] is True
    assert facts_of(serviced, bench.clock() + 1)["maintenance"] is False
