"""N70 to N73, N117: resets, clocks, relays and evidence of another time."""

import pytest

from framegate.errors import Reason, Refused
from framegate.eventlog import parse_boot_log, replay
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import Alg
from framegate.wire import Challenge
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from support.boot_logs import reasons_without_certificate

CAMERA = Firmware("simulated-camera")


def test_n70_power_cut_passes_with_a_full_log(bench):
    forge = bench.enrol()
    forge.clock = ClockInfo(5, forge.clock.reset_count + 1, 0, False)
    forge.boot()
    assert bench.join(forge).state == "trusted"


@pytest.mark.parametrize("clock", [ClockInfo(1000, 0, 0, True), ClockInfo(10, 1, 0, True)])
def test_n70_n117_counters_that_fall_are_suspect(bench, clock):
    """A lower resetCount (TPM2_Clear, roll-back) or a clock that went back within one reset."""
    forge = bench.enrol()
    forge.clock = clock
    answer = bench.join(forge)
    assert answer.state == "suspect" and reasons_without_certificate(answer) == {Reason.COUNTERS}
    forge.clock = ClockInfo(9999, 9, 0, True)
    assert bench.join(forge).state == "suspect", "suspicion latches until an operator releases"


def test_n70_restart_count_falls_within_one_reset(bench):
    forge = bench.enrol()
    forge.clock = ClockInfo(2000, 1, 3, True)
    assert bench.join(forge).state == "trusted"
    forge.clock = ClockInfo(3000, 1, 2, True)
    assert reasons_without_certificate(bench.join(forge)) == {Reason.COUNTERS}


def test_n71_unannounced_reset_demands_the_full_log(bench):
    """The device claims its old counters in Hello, so no log is asked for; the quote shows
    another boot.
    """
    forge = bench.enrol()
    hello = forge.attest_hello(known_log=True)
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    assert Challenge.parse(begun.challenge).want_boot_log == 0
    forge.firmware = CAMERA.tampered()
    forge.log = boot_log(measurements(forge.firmware))
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    answer = bench.verifier.complete_attest(begun.state, evidence, "camera.line-1.cam1")
    assert answer.retry_with_boot_log and answer.certificate is None


def test_n71_old_log_over_a_new_boot_is_refused(bench):
    forge = bench.enrol()
    forge.pcrs = dict(replay(parse_boot_log(boot_log(measurements(CAMERA.tampered()))), Alg.SHA256))
    answer = bench.attest(forge, known_log=True)
    assert answer.retry_with_boot_log and answer.certificate is None, (
        "a part that does not replay: the whole story is asked for"
    )
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons_without_certificate(answer) == {Reason.PCR_DIGEST}


CAM1, CAM2 = "camera.line-1.cam1", "camera.line-1.cam2"


def attest_as(bench, forge, device: str):
    """`forge` answers a challenge that `device` asked for."""
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, device)
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    return bench.verifier.complete_attest(begun.state, evidence, device)


def test_n72_a_genuine_machines_evidence_relayed_by_another_host(bench):
    """A tampered host asks for a challenge and has a sound machine answer it: the quote is not
    by its own AK.
    """
    sound, _ = bench.enrol("cam1"), bench.enrol("cam2")
    answer = attest_as(bench, sound, CAM2)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.SIGNATURE]
    assert bench.state(CAM1) == bench.state(CAM2) == "trusted", (
        "what nobody's TPM vouched for lowers nobody"
    )


def test_n72_a_relayed_quote_does_not_certify_the_relays_key(bench):
    """The quote names the TLS key it is for: a relay that puts its own key into the evidence
    breaks it.
    """
    sound, relay = bench.forge(), bench.forge()
    code = bench.invite(ek=sound.ek_sha256)
    hello = sound.hello(code)
    begun = bench.verifier.begin_join(hello, "p")
    sound.with_evidence(csr=sound.csr(relay.tls))
    mac, evidence = sound.answer(bench.fleet.digest, hello, begun.challenge)
    answer = bench.verifier.complete_join(begun.state, mac, evidence)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.CSR_KEY]


def test_n73_evidence_of_another_time(bench):
    forge = bench.enrol()
    kept: dict[str, bytes] = {}

    def keep(p):
        kept.update(p)
        return p

    forge.change_evidence = keep
    assert bench.attest(forge).state == "trusted"
    forge.with_evidence(quote_attest=kept["quote_attest"], quote_signature=kept["quote_signature"])
    answer = bench.attest(forge)
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]


def test_n73_a_challenge_answered_too_late_or_twice(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, CAM1)
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    bench.clock.pass_s(61)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            bench.verifier.complete_attest(begun.state, evidence, CAM1)
        assert caught.value.reason == Reason.SESSION_EXPIRED
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, CAM1)
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    assert bench.verifier.complete_attest(begun.state, evidence, CAM1).state == "trusted"
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(begun.state, evidence, CAM1)
    assert caught.value.reason == Reason.SESSION_UNKNOWN
