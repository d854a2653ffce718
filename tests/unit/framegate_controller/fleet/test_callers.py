"""Who calls the fleet port, and what is known of callers."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

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
from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.fixtures.access import certificate_request
from support import refusals

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"


turned_away = partial(refusals.refused, kind=Refused)


def caller(bench, key_sha256: bytes) -> str:
    with bench.store.reading() as tx:
        return standing_device(tx, key_sha256).id


# --- machines ---


def test_a_connection_outlives_its_certificate_where_a_later_one_stands(bench):
    """The agent keeps its connection over renewals: the key is the same, and the registry knows
    until when it is good.
    """
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issuer = bench.keys.issuing["device-ca"]
    now = from_ms(bench.clock())
    certificate = certify(
        issuer, leaf_template(Purpose.DEVICE, CAMERA, key, timedelta(minutes=3), now)
    )
    for at in (now, now + timedelta(minutes=9)):
        assert device_key(certificate, "ipv4:10.0.0.1", bench.keys, at) == sha256(spki_of(key))
    gateway = certify(
        bench.keys.issuing["gateway-ca"],
        leaf_template(Purpose.GATEWAY, GATEWAY, key, timedelta(minutes=3), now),
    )
    for at in (now, now + timedelta(minutes=9)):
        assert (
            turned_away(lambda at=at: device_key(gateway, "ipv4:10.0.0.1", bench.keys, at))
            == Reason.WRONG_ROLE
        )


def test_only_the_present_key_of_an_enrolled_machine_calls(bench):
    bench.enrol()
    key = bench.device().tls.spki_sha256
    assert caller(bench, key) == CAMERA
    assert turned_away(lambda: caller(bench, bytes(32))) == Reason.CERTIFICATE
    bench.clock.pass_s(3600)
    assert turned_away(lambda: caller(bench, key)) == Reason.CERTIFICATE_EXPIRED
    bench.move(Edge.RETIRE)
    assert turned_away(lambda: caller(bench, key)) == Reason.CERTIFICATE


def test_only_a_trusted_machine_gets_a_certificate_for_the_broker_and_no_longer_than_its_own(bench):
    bench.enrol()
    device = bench.device()
    certificate = broker_certificate(bench.fleet, device, certificate_request())
    assert abs(
        certificate.not_valid_after_utc - from_ms(device.certificate_expires_ms)
    ) < timedelta(seconds=2)
    bench.move(Edge.QUARANTINE)
    assert (
        turned_away(lambda: broker_certificate(bench.fleet, bench.device(), certificate_request()))
        == Reason.NOT_TRUSTED
    )
    bench.clock.pass_s(3600)
    assert (
        turned_away(lambda: broker_certificate(bench.fleet, device, certificate_request()))
        == Reason.NOT_TRUSTED
    )


# --- gateway processes ---


def test_only_a_process_that_its_trusted_host_vouches_for_calls(bench):
    bench.enrol("gw1", Kind.GATEWAY)
    vouched, replaced = (
        GatewayKeys("127.0.0.1:1", "127.0.0.1:2", b"m" * 32).newest.publics for _ in range(2)
    )
    process = GatewayProcess(
        publics_sha256=sha256(vouched), host=GATEWAY, publics=vouched, result_id="r"
    )
    with bench.store.writing() as tx:
        tx.gateways.replace(GATEWAY, [process])

    def host(publics: bytes, name: str = GATEWAY) -> str:
        from framegate.wire import GatewayPublics

        now = from_ms(bench.clock())
        tls, _ = issue_gateway(
            bench.keys, name, GatewayPublics.parse(publics), timedelta(minutes=3), now
        )
        peer = verify_peer(tls, "ipv4:10.0.0.1", bench.keys, now, Purpose.GATEWAY)
        with bench.store.reading() as tx:
            return gateway_host(tx, peer).id

    assert host(vouched) == GATEWAY
    assert turned_away(lambda: host(replaced)) == Reason.NOT_TRUSTED
    assert turned_away(lambda: host(vouched, "gateway.line-1.another")) == Reason.NOT_TRUSTED
    bench.enrol()
    assert turned_away(lambda: host(vouched, CAMERA)) == Reason.NOT_TRUSTED
    bench.move(Edge.QUARANTINE, GATEWAY)
    assert turned_away(lambda: host(vouched)) == Reason.NOT_TRUSTED


def test_who_is_in_maintenance_says_so_in_its_facts(bench):
    from framegate_controller.fleet.facts import facts_of

    bench.enrol()
    device = bench.device()
    facts = facts_of(device, bench.clock())
    assert (facts["id"], facts["state"], facts["maintenance"]) == (CAMERA, "trusted", False)
    serviced = replace(device, maintenance_until_ms=bench.clock() + 1)
    assert facts_of(serviced, bench.clock())["maintenance"] is True
    assert facts_of(serviced, bench.clock() + 1)["maintenance"] is False
