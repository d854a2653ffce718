"""Measurement lists of running machines, through the verifier."""

import pytest

from framegate.errors import Reason
from framegate.wire import Challenge
from framegate_controller.fleet.profiles import add_profile
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import ImaMachine, allowlist_of, files_of
from support.ima import digest_of, reasons

CAMERA = Firmware("simulated-camera")


NEW = b"/usr/bin/newly-installed"


GOOD = next(iter(files_of("simulated-camera", "12.9").items()))


def test_a_list_that_grows_costs_only_its_growth(bench):
    forge = bench.enrol()
    first = len(forge.ima.entries)
    forge.ima.measure(*GOOD)
    hello = forge.attest_hello(known_log=True)
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    challenge = Challenge.parse(begun.challenge)
    assert challenge.ima_offset == first
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    assert (
        bench.verifier.complete_attest(begun.state, evidence, "camera.line-1.cam1").state
        == "trusted"
    )
    with bench.store.reading() as tx:
        kept = tx.evidence.ima_list("camera.line-1.cam1", 1, 0, first + 1)
    assert kept == forge.ima.list_from(0), "the store holds the whole list, in parts"
    for _ in range(3):
        assert bench.attest(forge, known_log=True).state == "trusted"


def test_a_file_the_allowlist_does_not_know_is_suspect_and_named(bench):
    forge = bench.enrol()
    forge.ima.measure(NEW, digest_of(b"implant"))
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_FILE]
    assert "newly-installed" in answer.failures[0].actual


def test_a_known_file_with_other_content_is_suspect_and_told_what_was_expected(bench):
    forge = bench.enrol()
    forge.ima.measure(GOOD[0], digest_of(b"patched"))
    answer = bench.attest(forge, known_log=True)
    assert reasons(answer) == [Reason.IMA_FILE] and GOOD[1].hex() in answer.failures[0].expected


def test_framegates_own_files_must_be_measured(bench):
    forge = bench.forge()
    files = {
        p: d
        for p, d in files_of(CAMERA.model, CAMERA.release).items()
        if not p.startswith(b"/opt/framegate/")
    }
    forge.ima = ImaMachine.booted(forge.pcrs, files)
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert set(reasons(answer)) == {Reason.IMA_UNMEASURED, Reason.IMA_FILE_ABSENT}
    assert sum("/opt/framegate/" in f.expected for f in answer.failures) == 5  # the folder, 4 files


def test_no_list_is_no_pass(bench):
    forge = bench.forge().with_evidence(ima_log=b"")
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == [Reason.IMA_MISSING]


def test_entries_for_another_pcr_are_refused(bench):
    forge = bench.enrol()
    forge.ima.measure(*GOOD, pcr=11)
    bench.attest(forge, known_log=True)
    assert Reason.IMA_MALFORMED in reasons(bench.attest(forge))


def test_an_allowlist_that_is_not_in_the_store_is_no_pass(bench):
    toml = profile_toml(CAMERA, "simulated-camera", 2).replace(
        digest_of(allowlist_of(CAMERA.model, CAMERA.release)).hex(), "00" * 32
    )
    with pytest.raises(Exception, match="allowlist"), bench.store.writing() as tx:
        add_profile(tx, bench.keys, toml.encode())


def test_a_machine_with_another_system_fails_in_one_sentence(bench):
    forge = bench.enrol()
    for n in range(500):
        forge.ima.measure(b"/bin/%d" % n, digest_of(b"%d" % n))
    failures = bench.attest(forge, known_log=True).failures
    assert len(failures) == 21 and "480 more" in failures[-1].actual
