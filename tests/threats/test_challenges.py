"""N07, N08, N14: nonces, sessions, and what binds an answer to its challenge."""

from dataclasses import replace

import pytest

from framegate.errors import EvidenceRejected, Reason, Refused
from framegate.tpm.attest import (
    PcrSelection,
)
from framegate.tpm.constants import Alg
from framegate_controller.fleet.challenges import Demand
from support.structures import refused_join


@pytest.mark.parametrize("data", [b"", b"\0" * 32, b"\0" * 31, b"\0" * 64])
def test_n07_extra_data_missing_or_foreign(bench, data):
    assert refused_join(bench, bench.forge().with_quote(extra_data=data)) == Reason.EXTRA_DATA


def test_n07_extra_data_truncated_or_extended(bench):
    forge = bench.forge()
    forge.change_quote = lambda a: replace(a, extra_data=a.extra_data[:31])
    assert refused_join(bench, forge) == Reason.EXTRA_DATA


def test_n07_nonce_as_hexadecimal_is_another_encoding(bench):
    forge = bench.forge()
    forge.change_quote = lambda a: replace(a, extra_data=a.extra_data.hex().encode())
    assert refused_join(bench, forge) == Reason.EXTRA_DATA


def test_n07_evidence_of_another_session(bench):
    forge = bench.enrol()
    hellos = [forge.attest_hello() for _ in range(2)]
    begun = [bench.verifier.begin_attest(h, "camera.line-1.cam1") for h in hellos]
    _, evidence = forge.answer(bench.fleet.digest, hellos[0], begun[0].challenge, join=False)
    answer = bench.verifier.complete_attest(begun[1].state, evidence, "camera.line-1.cam1")
    assert [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]


def test_n07_evidence_is_accepted_once(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    session = begun.state
    assert (
        bench.verifier.complete_attest(session, evidence, "camera.line-1.cam1").state == "trusted"
    )
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(session, evidence, "camera.line-1.cam1")
    assert caught.value.reason == Reason.SESSION_UNKNOWN


def test_n07_late_evidence_is_refused(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    bench.clock.pass_s(61)
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(begun.state, evidence, "camera.line-1.cam1")
    assert caught.value.reason == Reason.SESSION_EXPIRED


def test_n08_ten_thousand_challenges_are_unique_and_full_size(bench):
    selection = PcrSelection(Alg.SHA256, tuple(range(8)))
    challenges = [
        bench.verifier._challenges.make(
            b"hello", Demand(selection=selection, want_boot_log=False), 0
        )
        for _ in range(10_000)
    ]
    assert (
        len({c.nonce for c in challenges}) == 10_000
        and len({c.session for c in challenges}) == 10_000
    )
    assert {len(c.nonce) for c in challenges} == {32}
    ones = sum(bin(int.from_bytes(c.nonce, "big")).count("1") for c in challenges)
    assert abs(ones - 1_280_000) < 10_000, "bits of the nonces are not balanced"


def test_n14_wrong_mac_has_one_answer_and_ends_the_session(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    hello = forge.hello(code)
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge)
    session = begun.state
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.complete_join(session, bytes(32), evidence)
    assert caught.value.reason == Reason.MAC and not caught.value.authenticated
    with pytest.raises(Refused):  # the session is spent: no second guess
        bench.verifier.complete_join(session, mac, evidence)
    assert bench.state() == "invited"


@pytest.mark.parametrize("mac", [b"", b"\0", b"\0" * 31, b"\0" * 33])
def test_n14_mac_of_wrong_size(bench, mac):
    forge = bench.forge()
    hello = forge.hello(bench.invite(ek=forge.ek_sha256))
    begun = bench.verifier.begin_join(hello, "p")
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.complete_join(begun.state, mac, b"garbage that is never parsed")
    assert caught.value.reason == Reason.MAC
