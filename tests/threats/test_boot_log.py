"""N40 to N50: forged, cut, relabelled and missing boot logs."""

import struct
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log, structural_failures
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import MAX_EVENTS, MAX_LOG_BYTES
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import BANKS, Firmware, Measurement, boot_log, measurements
from support.boot_logs import join_with_log, reasons_without_certificate

CAMERA = Firmware("simulated-camera")


def test_n40_event_relabelled_as_unknown_type_is_still_unclaimed(bench):
    events = [
        replace(m, type=0x12345678) if m.name == "boot loader" else m
        for m in measurements(CAMERA.tampered())
    ]
    assert Reason.EVENT_UNCLAIMED in reasons_without_certificate(
        join_with_log(bench, boot_log(events))
    )


def test_n40_forged_event_appended(bench):
    events = [*measurements(CAMERA), Measurement("x", 4, EventType.ACTION, b"evil", b"evil")]
    assert reasons_without_certificate(join_with_log(bench, boot_log(events))) == {
        Reason.EVENT_UNCLAIMED
    }


def test_n41_data_that_does_not_hash_to_its_digest(bench):
    events = [
        replace(m, data=m.data[:-1] + b"\0") if m.name == "variable SecureBoot" else m
        for m in measurements(CAMERA)
    ]
    assert {Reason.EVENT_DATA, Reason.SECURE_BOOT} <= reasons_without_certificate(
        join_with_log(bench, boot_log(events))
    )


def test_n41_secure_boot_off_dressed_as_on(bench):
    """Measured: 0. Shown: 1. The value must come from data that hashes to the digest."""
    off, on = (
        measurements(replace(CAMERA, secure_boot=False)),
        {m.name: m for m in measurements(CAMERA)},
    )
    events = [
        replace(m, data=on[m.name].data) if m.name == "variable SecureBoot" else m for m in off
    ]
    assert {Reason.EVENT_UNCLAIMED, Reason.EVENT_DATA} <= reasons_without_certificate(
        join_with_log(bench, boot_log(events))
    )


def test_n42_no_action_that_carries_a_digest():
    log = boot_log(measurements(CAMERA)) + agile(0, EventType.NO_ACTION, b"\1", b"x")
    assert [f.reason for f in structural_failures(parse_boot_log(log), Alg.SHA256)] == [
        Reason.EVENT_DATA
    ]


def agile(pcr: int, kind: int, digest: bytes, data: bytes) -> bytes:
    out = struct.pack("<III", pcr, kind, len(BANKS))
    for bank, size in ((Alg.SHA1, 20), (Alg.SHA256, 32)):
        out += struct.pack("<H", bank) + digest.ljust(size, b"\0")
    return out + struct.pack("<I", len(data)) + data


def test_n42_forged_startup_locality_changes_the_replay(bench):
    forge = bench.forge()
    forge.log = boot_log(measurements(CAMERA), locality=3)
    assert reasons_without_certificate(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {
        Reason.PCR_DIGEST
    }


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
    head = (
        struct.pack("<II", 0, 3)
        + bytes(20)
        + struct.pack("<I", 20)
        + b"Spec ID Event03\0"
        + bytes(4)
    )
    with pytest.raises(Malformed):
        parse_boot_log(head)


@pytest.mark.parametrize("pcr", range(8))
def test_n43_separator_missing(bench, pcr):
    events = [m for m in measurements(CAMERA) if m.name != f"separator {pcr}"]
    answer = join_with_log(bench, boot_log(events))
    assert reasons_without_certificate(answer) & {Reason.SEPARATOR, Reason.BANK_UNUSED}


def test_n43_separator_twice_or_with_error_value():
    events = measurements(CAMERA)
    twice = boot_log([*events, Measurement("s", 7, EventType.SEPARATOR, bytes(4), bytes(4))])
    assert Reason.SEPARATOR in {
        f.reason for f in structural_failures(parse_boot_log(twice), Alg.SHA256)
    }
    error = boot_log(
        [
            replace(m, content=b"\1\0\0\0", data=b"\1\0\0\0") if m.name == "separator 3" else m
            for m in events
        ]
    )
    assert Reason.SEPARATOR in {
        f.reason for f in structural_failures(parse_boot_log(error), Alg.SHA256)
    }


def test_n43_variable_after_the_separator_or_twice():
    events = measurements(CAMERA)
    secure = next(m for m in events if m.name == "variable SecureBoot")
    for bad in ([*events, secure], [secure, *events]):
        assert Reason.SEPARATOR in {
            f.reason for f in structural_failures(parse_boot_log(boot_log(bad)), Alg.SHA256)
        }


def test_n44_events_hidden_after_exit_boot_services(bench):
    events = [*measurements(CAMERA), Measurement("late", 5, EventType.EFI_ACTION, b"late", b"late")]
    assert reasons_without_certificate(join_with_log(bench, boot_log(events))) == {
        Reason.EVENT_UNCLAIMED
    }


def test_n44_exit_boot_services_missing(bench):
    events = [m for m in measurements(CAMERA) if not m.name.startswith("exit boot")]
    assert reasons_without_certificate(join_with_log(bench, boot_log(events))) == {
        Reason.EVENT_ABSENT
    }


@pytest.mark.parametrize("value", [b"\0", b"", b"\1\1"])
def test_n45_secure_boot_off_empty_or_two_bytes(bench, value):
    guid_and_name = measurements(CAMERA)[5].content[:16]
    name = "SecureBoot".encode("utf-16-le")
    content = guid_and_name + struct.pack("<QQ", 10, len(value)) + name + value
    events = [
        replace(m, content=content, data=content) if m.name == "variable SecureBoot" else m
        for m in measurements(CAMERA)
    ]
    assert Reason.SECURE_BOOT in reasons_without_certificate(join_with_log(bench, boot_log(events)))


@pytest.mark.parametrize("cut", [1, 10, 31, 40, 100])
def test_n46_n48_truncated_log(bench, cut):
    forge = bench.forge()
    forge.log = forge.log[:-cut]
    assert reasons_without_certificate(bench.join(forge, bench.invite(ek=forge.ek_sha256))) <= {
        Reason.BOOT_LOG_MALFORMED,
        Reason.PCR_DIGEST,
    }


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
    assert reasons_without_certificate(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {
        Reason.BANK_UNUSED
    }


def test_n48_log_longer_than_the_pcrs(bench):
    forge = bench.forge()
    forge.log = boot_log([*measurements(CAMERA), Measurement("x", 4, EventType.ACTION, b"x", b"x")])
    assert reasons_without_certificate(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {
        Reason.PCR_DIGEST
    }


def test_n48_log_shorter_than_the_pcrs(bench):
    forge = bench.forge()
    forge.log = boot_log(measurements(CAMERA)[:-1])
    assert reasons_without_certificate(bench.join(forge, bench.invite(ek=forge.ek_sha256))) == {
        Reason.PCR_DIGEST
    }


def test_n49_no_log_is_not_attested(bench):
    forge = bench.forge().with_evidence(boot_log=b"")
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert reasons_without_certificate(answer) == {Reason.BOOT_LOG_MISSING}


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
    assert reasons_without_certificate(answer) == {Reason.EVENT_ABSENT}


def test_n46_logs_of_unusual_size_are_not_remembered(bench):
    """A machine that shows another large log each time must not fill the controller's memory;
    usual ones are remembered, and judged alike.
    """
    from framegate.evidence.verify import REMEMBERED_BYTES, remembered_log

    remembered_log.cache_clear()
    padding = [
        Measurement(f"driver {n}", 2, EventType.EFI_BOOT_SERVICES_DRIVER, b"%d" % n, bytes(4000))
        for n in range(REMEMBERED_BYTES // 4000 + 1)
    ]
    large = boot_log([*measurements(CAMERA), *padding])
    assert len(large) > REMEMBERED_BYTES
    assert Reason.EVENT_UNCLAIMED in reasons_without_certificate(join_with_log(bench, large))
    assert remembered_log.cache_info().currsize == 0
    bench.enrol("cam2")
    assert remembered_log.cache_info().currsize == 1
