"""N40 to N50, N70, N71, N85, N117: boot logs that lie, counters that jump, faults in the middle."""

import struct
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log, replay, structural_failures
from framegate.eventlog.parse import MAX_EVENTS, MAX_LOG_BYTES, EventType
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import Alg
from framegate.wire import Challenge
from framegate_simulators.machine.boot import BANKS, Firmware, Measurement, boot_log, image, measurements

CAMERA = Firmware("simulated-camera")


def join_with_log(bench, log: bytes):
    """Join a machine whose TPM really measured what `log` says."""
    forge = bench.forge()
    forge.boot(log)
    return bench.join(forge, bench.invite(ek=forge.ek_sha256))


def reasons(answer) -> set[Reason]:
    assert answer.certificate is None
    return {f.reason for f in answer.failures}


def test_changed_boot_loader_is_suspect_and_says_which(bench):
    answer = join_with_log(bench, boot_log(measurements(CAMERA.tampered())))
    assert answer.state == "suspect" and reasons(answer) == {Reason.EVENT_UNCLAIMED, Reason.EVENT_ABSENT}
    absent = next(f for f in answer.failures if f.reason == Reason.EVENT_ABSENT)
    assert "boot loader in PCR 4" in absent.expected


def test_n40_event_relabelled_as_unknown_type_is_still_unclaimed(bench):
    events = [replace(m, type=0x12345678) if m.name == "boot loader" else m for m in measurements(CAMERA.tampered())]
    assert Reason.EVENT_UNCLAIMED in reasons(join_with_log(bench, boot_log(events)))


def test_n40_forged_event_appended(bench):
    events = [*measurements(CAMERA), Measurement("x", 4, EventType.ACTION, b"evil", b"evil")]
    assert reasons(join_with_log(bench, boot_log(events))) == {Reason.EVENT_UNCLAIMED}


def test_n41_data_that_does_not_hash_to_its_digest(bench):
    events = [replace(m, data=m.data[:-1] + b"\0") if m.name == "variable SecureBoot" else m for m in measurements(CAMERA)]
    assert {Reason.EVENT_DATA, Reason.SECURE_BOOT} <= reasons(join_with_log(bench, boot_log(events)))


def test_n41_secure_boot_off_dressed_as_on(bench):
    """Measured: 0. Shown: 1. The value must come from data that hashes to the digest."""
    off, on = measurements(replace(CAMERA, secure_boot=False)), {m.name: m for m in measurements(CAMERA)}
    events = [replace(m, data=on[m.name].data) if m.name == "variable SecureBoot" else m for m in off]
    assert {Reason.EVENT_UNCLAIMED, Reason.EVENT_DATA} <= reasons(join_with_log(bench, boot_log(events)))


def test_n42_no_action_that_carries_a_digest():
    log = boot_log(measurements(CAMERA)) + agile(0, EventType.NO_ACTION, b"\1", b"x")
    assert [f.reason for f in structural_failures(parse_boot_log(log), Alg.SHA256)] == [Reason.EVENT_DATA]


def agile(pcr: int, kind: int, digest: bytes, data: bytes) -> bytes:
    out = struct.pack("<III", pcr, kind, len(BANKS))
    for bank, size in ((Alg.SHA1, 20), (Alg.SHA256, 32)):
        out += struct.pack("<H", bank) + digest.ljust(size, b"\0")
    return out + struct.pack("<I", len(data)) + data


def test_n42_forged_startup_locality_changes_the_replay(bench):
    forge = bench.forge()
    forge.log = boot_log(measurements(CAMERA), locality=3)
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {Reason.PCR_DIGEST}


@pytest.mark.parametrize("locality", [1, 2, 5, 255])
def test_n42_startup_locality_out_of_range(locality):
    with pytest.raises(Malformed):
        parse_boot_log(boot_log(measurements(CAMERA), locality=locality))


def test_n42_second_spec_id_second_locality_and_short_spec_id():
    log = boot_log(measurements(CAMERA), locality=0)
    with pytest.raises(Malformed):
        parse_boot_log(log + agile(0, EventType.NO_ACTION, b"", b"StartupLocality\0\0"))
    with pytest.raises(Malformed):
        parse_boot_log(log + agile(0, EventType.NO_ACTION, b"", b"Spec ID Event03\0" + bytes(20)))
    head = struct.pack("<II", 0, 3) + bytes(20) + struct.pack("<I", 20) + b"Spec ID Event03\0" + bytes(4)
    with pytest.raises(Malformed):
        parse_boot_log(head)


@pytest.mark.parametrize("pcr", range(8))
def test_n43_separator_missing(bench, pcr):
    events = [m for m in measurements(CAMERA) if m.name != f"separator {pcr}"]
    answer = join_with_log(bench, boot_log(events))
    assert reasons(answer) & {Reason.SEPARATOR, Reason.BANK_UNUSED}


def test_n43_separator_twice_or_with_error_value():
    events = measurements(CAMERA)
    twice = boot_log([*events, Measurement("s", 7, EventType.SEPARATOR, bytes(4), bytes(4))])
    assert Reason.SEPARATOR in {f.reason for f in structural_failures(parse_boot_log(twice), Alg.SHA256)}
    error = boot_log([replace(m, content=b"\1\0\0\0", data=b"\1\0\0\0") if m.name == "separator 3" else m for m in events])
    assert Reason.SEPARATOR in {f.reason for f in structural_failures(parse_boot_log(error), Alg.SHA256)}


def test_n43_variable_after_the_separator_or_twice():
    events = measurements(CAMERA)
    secure = next(m for m in events if m.name == "variable SecureBoot")
    for bad in ([*events, secure], [secure, *events]):
        assert Reason.SEPARATOR in {f.reason for f in structural_failures(parse_boot_log(boot_log(bad)), Alg.SHA256)}


def test_n44_events_hidden_after_exit_boot_services(bench):
    events = [*measurements(CAMERA), Measurement("late", 5, EventType.EFI_ACTION, b"late", b"late")]
    assert reasons(join_with_log(bench, boot_log(events))) == {Reason.EVENT_UNCLAIMED}


def test_n44_exit_boot_services_missing(bench):
    events = [m for m in measurements(CAMERA) if not m.name.startswith("exit boot")]
    assert reasons(join_with_log(bench, boot_log(events))) == {Reason.EVENT_ABSENT}


@pytest.mark.parametrize("value", [b"\0", b"", b"\1\1"])
def test_n45_secure_boot_off_empty_or_two_bytes(bench, value):
    guid_and_name = measurements(CAMERA)[5].content[:16]
    name = "SecureBoot".encode("utf-16-le")
    content = guid_and_name + struct.pack("<QQ", 10, len(value)) + name + value
    events = [replace(m, content=content, data=content) if m.name == "variable SecureBoot" else m for m in measurements(CAMERA)]
    assert Reason.SECURE_BOOT in reasons(join_with_log(bench, boot_log(events)))


@pytest.mark.parametrize("cut", [1, 10, 31, 40, 100])
def test_n46_n48_truncated_log(bench, cut):
    forge = bench.forge()
    forge.log = forge.log[:-cut]
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) <= {Reason.BOOT_LOG_MALFORMED, Reason.PCR_DIGEST}


def test_n46_sizes_that_lie_do_not_allocate():
    log = boot_log(measurements(CAMERA))
    for at in (28, len(log) - 4 - len(b"Exit Boot Services Returned with Success")):
        with pytest.raises(Malformed) as caught:
            parse_boot_log(log[:at] + b"\xff\xff\xff\xff" + log[at + 4 :])
        assert caught.value.reason == Reason.BOOT_LOG_MALFORMED


def test_n46_limits_on_bytes_and_events():
    with pytest.raises(Malformed) as caught:
        parse_boot_log(bytes(MAX_LOG_BYTES + 1))
    assert caught.value.reason == Reason.TOO_LARGE
    many = boot_log([Measurement("x", 4, EventType.ACTION, b"x", b"x")] * (MAX_EVENTS + 1))
    with pytest.raises(Malformed) as caught:
        parse_boot_log(many)
    assert caught.value.reason == Reason.TOO_LARGE


def test_n47_bank_that_the_firmware_never_extended(bench):
    """Zeros in the quoted bank, an empty log: CVE-2021-42299."""
    forge = bench.forge()
    forge.log = boot_log([])
    forge.pcrs = {p: bytes(32) for p in range(8)}
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {Reason.BANK_UNUSED}


def test_n48_log_longer_than_the_pcrs(bench):
    forge = bench.forge()
    forge.log = boot_log([*measurements(CAMERA), Measurement("x", 4, EventType.ACTION, b"x", b"x")])
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {Reason.PCR_DIGEST}


def test_n48_log_shorter_than_the_pcrs(bench):
    forge = bench.forge()
    forge.log = boot_log(measurements(CAMERA)[:-1])
    assert reasons(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {Reason.PCR_DIGEST}


def test_n49_no_log_is_not_attested(bench):
    forge = bench.forge().with_proof(boot_log=b"")
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert reasons(answer) == {Reason.BOOT_LOG_MISSING}


def test_n49_no_profile_is_not_attested(bench):
    forge = bench.enrol()
    bench.sql("DELETE FROM profiles WHERE name = 'simulated-camera'")
    with bench.store.writing() as tx:
        tx.raise_firmware_revision()
    from framegate.errors import Refused

    with pytest.raises(Refused) as caught:
        bench.attest(forge)
    assert caught.value.reason == Reason.PROFILE_MISSING


def test_n50_required_event_absent_although_replay_matches(bench):
    answer = join_with_log(bench, boot_log(measurements(replace(CAMERA, drop_kernel=True))))
    assert reasons(answer) == {Reason.EVENT_ABSENT}


def test_all_policy_failures_are_collected(bench):
    answer = join_with_log(bench, boot_log(measurements(replace(CAMERA, bootloader="b", kernel="k", secure_boot=False, extra_event="e"))))
    assert len(answer.failures) >= 7


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
    assert answer.state == "suspect" and reasons(answer) == {Reason.COUNTERS}
    forge.clock = ClockInfo(9999, 9, 0, True)
    assert bench.join(forge).state == "suspect", "suspicion latches until an operator releases"


def test_n70_restart_count_falls_within_one_reset(bench):
    forge = bench.enrol()
    forge.clock = ClockInfo(2000, 1, 3, True)
    assert bench.join(forge).state == "trusted"
    forge.clock = ClockInfo(3000, 1, 2, True)
    assert reasons(bench.join(forge)) == {Reason.COUNTERS}


def test_n71_unannounced_reset_demands_the_full_log(bench):
    """The device claims its old counters in Hello, so no log is asked for; the quote shows another boot."""
    forge = bench.enrol()
    hello = forge.attest_hello(known_log=True)
    made = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    assert Challenge.parse(made.challenge).want_boot_log == 0
    forge.firmware = CAMERA.tampered()
    forge.log = boot_log(measurements(forge.firmware))
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    answer = bench.verifier.complete_attest(made.state, proof, "camera.line-1.cam1")
    assert answer.retry_with_boot_log and answer.certificate is None


def test_n71_old_log_over_a_new_boot_is_refused(bench):
    forge = bench.enrol()
    forge.pcrs = dict(replay(parse_boot_log(boot_log(measurements(CAMERA.tampered()))), Alg.SHA256))
    answer = bench.attest(forge, known_log=True)
    assert answer.retry_with_boot_log and answer.certificate is None, "a part that does not replay: the whole story is asked for"
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons(answer) == {Reason.PCR_DIGEST}


def test_n125_every_attestation_appraises_the_stored_log_under_the_present_profile(bench):
    from framegate_controller.fleet.profiles import add_profile
    from framegate_simulators.machine.boot import profile_toml

    forge = bench.enrol()
    newer = profile_toml(replace(CAMERA, kernel="kernel 6.12.10"), "simulated-camera", 2)
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, newer.encode())
    assert bench.attest(forge, known_log=True).state == "suspect"


FAULTS = {
    "framegate_controller.fleet.judge.verify_evidence": "verify_evidence",
    "framegate_controller.fleet.judge.appraise": "appraise",
    "framegate_controller.fleet.firmware.FirmwareRules.for_device": "profiles",
    "framegate_controller.fleet.firmware.FirmwareRules.allowlists": "allowlists",
    "framegate_controller.fleet.weigh.issue_device": "issue_device",
    "framegate_controller.fleet.weigh.sign_ear": "sign_ear",
    "framegate_controller.fleet.attestation.take_over": "take_over",
    "framegate_controller.fleet.commit.store_evidence": "store_evidence",
    "framegate_controller.store.sql.devices.SqlSpentChallenges.spend": "spend",
    "framegate_controller.store.sql.devices.SqlDevices.put": "put",
    "framegate_controller.store.sql.firmware.SqlEvidence.add_result": "add_result",
    "framegate_controller.store.sql.transaction.SqlTransaction.raise_revision": "raise_revision",
    "framegate_controller.store.sql.transaction.SqlTransaction.record": "record",
}


@pytest.mark.parametrize("step", FAULTS, ids=FAULTS.values())
def test_n85_a_fault_at_any_step_never_raises_trust(bench, monkeypatch, step):
    """An exception rolls the transaction back: no certificate, no result, no new state; the old result runs out by itself."""
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    hello = forge.hello(code)
    made = bench.verifier.begin_join(hello, "p")
    mac, proof = forge.answer(bench.fleet.digest, hello, made.challenge)

    def fault(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(step, fault)
    with pytest.raises(OSError, match="disk full"):
        bench.verifier.complete_join(made.state, mac, proof)
    monkeypatch.undo()
    row = bench.device()
    assert (row.state, row.standing.result_id, row.certificate_expires_ms) == ("invited", "", 0)
    assert bench.join(forge, code).state == "trusted", "the fault is gone: the ticket is not lost"


def test_images_are_distinct():
    assert image("a") != image("b")


def test_sound_log_has_no_structural_failure():
    for firmware in (CAMERA, CAMERA.tampered()):
        assert structural_failures(parse_boot_log(boot_log(measurements(firmware))), Alg.SHA256) == ()


def test_n46_logs_of_unusual_size_are_not_remembered(bench):
    """A machine that shows another large log each time must not fill the controller's memory; usual ones are remembered, and judged alike."""
    from framegate.evidence.verify import REMEMBERED_BYTES, remembered_log

    remembered_log.cache_clear()
    padding = [Measurement(f"driver {n}", 2, EventType.EFI_BOOT_SERVICES_DRIVER, b"%d" % n, bytes(4000)) for n in range(REMEMBERED_BYTES // 4000 + 1)]
    large = boot_log([*measurements(CAMERA), *padding])
    assert len(large) > REMEMBERED_BYTES
    assert Reason.EVENT_UNCLAIMED in reasons(join_with_log(bench, large))
    assert remembered_log.cache_info().currsize == 0
    bench.enrol("cam2")
    assert remembered_log.cache_info().currsize == 1
