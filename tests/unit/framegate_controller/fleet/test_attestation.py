"""What machines offer with their evidence, and what becomes of it."""

import os
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Malformed, Reason
from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.wire import GatewayPublics, Hello
from framegate_gateway.trust.keys import GatewayKeys
from support.refusals import refused

CAM = "camera.line-1.cam1"


def test_camera_that_offers_gateway_keys_is_contradicted(bench):
    forge = bench.forge()
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert answer.state == "suspect" and [f.reason for f in answer.failures] == [Reason.PUBLICS]


def test_gateway_host_vouches_for_its_processes(bench):
    forge = bench.forge("gateway")
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    answer = bench.join(forge, bench.invite("gw1", kind=Kind.GATEWAY, ek=forge.ek_sha256))
    assert answer.state == "trusted" and len(answer.gateways) == 1


def with_publics(*publics: GatewayPublics) -> tuple[bytes, ...]:
    return tuple(p.marshal() for p in publics)


def process() -> GatewayPublics:
    return GatewayPublics.parse(GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics)


def one_request_twice() -> tuple[bytes, ...]:
    own = process()
    return with_publics(replace(own, verdict_csr=own.tls_csr))


def one_key_in_two_requests() -> tuple[bytes, ...]:
    key, own = ec.generate_private_key(ec.SECP256R1()), process()
    requests = [csr(key) for _ in range(2)]
    assert requests[0] != requests[1]
    return with_publics(replace(own, tls_csr=requests[0], verdict_csr=requests[1]))


def csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def one_process_twice() -> tuple[bytes, ...]:
    return with_publics(process()) * 2


def two_processes_of_one_key() -> tuple[bytes, ...]:
    first, second = process(), process()
    return with_publics(first, replace(second, verdict_csr=first.tls_csr))


def no_request() -> tuple[bytes, ...]:
    return with_publics(replace(process(), verdict_csr=b""))


@pytest.mark.parametrize(
    "publics",
    [
        one_request_twice,
        one_key_in_two_requests,
        one_process_twice,
        two_processes_of_one_key,
        no_request,
    ],
)
def test_gateway_keys_that_are_no_good_are_a_named_refusal(bench, publics):
    """The host signed for them: its state falls, the record says why, and nothing is raised."""
    forge = bench.enrol("gw1", Kind.GATEWAY)
    forge.publics = publics()
    answer = bench.attest(forge, "gateway.line-1.gw1")
    assert [f.reason for f in answer.failures] == [Reason.PUBLICS] and answer.certificate is None
    assert answer.state == bench.state("gateway.line-1.gw1") == "suspect"
    assert bench.events("evidence-refused", "gateway.line-1.gw1")


def test_a_host_that_names_anothers_process_takes_nothing_from_it(bench):
    theirs = with_publics(process())
    thief = bench.enrol("gw2", Kind.GATEWAY)
    thief.publics = theirs
    assert bench.attest(thief, "gateway.line-1.gw2").state == "trusted"
    owner = bench.enrol("gw1", Kind.GATEWAY)
    owner.publics = theirs
    answer = bench.attest(owner, "gateway.line-1.gw1")
    assert answer.state == "trusted" and len(answer.gateways) == 1
    with bench.store.reading() as tx:
        assert len(tx.gateways.of_host("gateway.line-1.gw1")) == 1


def test_publics_swapped_after_the_quote(bench):
    forge = bench.forge("gateway")
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    forge.with_evidence(gateway_publics=(GatewayKeys("evil:1", "a:2", b"m" * 32).newest.publics,))
    answer = bench.join(forge, bench.invite("gw1", kind=Kind.GATEWAY, ek=forge.ek_sha256))
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]
    assert "extra-data" in str(bench.events("evidence-refused"))


def test_hello_that_is_garbage(bench):
    for raw in (b"", b"\0" * 10, os.urandom(300), Hello.LABEL.encode()):
        with pytest.raises(Malformed):
            bench.verifier.begin_join(raw, "p")


def test_the_longest_identity_gets_its_certificate(bench):
    name = "c" * (64 - len("camera.line-1."))
    forge = bench.forge()
    answer = bench.join(forge, bench.invite(name, ek=forge.ek_sha256))
    assert answer.certificate is not None and len(answer.device) == 64


def test_a_machine_that_is_retired_while_it_answers_gets_nothing(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, CAM)
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    bench.move(Edge.RETIRE)
    answer = refused(lambda: bench.verifier.complete_attest(begun.state, evidence, CAM))
    assert answer == Reason.DEVICE_RETIRED
