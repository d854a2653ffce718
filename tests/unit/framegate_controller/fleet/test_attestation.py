"""What machines offer with their evidence, and what becomes of it."""

import os

import pytest

from framegate.errors import Malformed, Reason
from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.wire import Hello
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
