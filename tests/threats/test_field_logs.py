"""N41, N43, N46: logs as firmware of the field writes them, beside those that somebody edited."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.eventlog import (
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.eventlog.event_type import EventType
from framegate.evidence.appraise import secure_boot_failures
from framegate.profile.model import parse_profile
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, profile_toml


def spec_id(algorithms: list[tuple[int, int]]) -> bytes:
    listed = b"".join(struct.pack("<HH", *a) for a in algorithms)
    data = b"Spec ID Event03\0" + bytes(4) + b"\0\x02\0\x02"
    data += struct.pack("<I", len(algorithms)) + listed + b"\0"
    return struct.pack("<II20sI", 0, 3, bytes(20), len(data)) + data


def agile_event(pcr: int, kind: int, data: bytes, extra: list[tuple[int, int]]) -> bytes:
    digests = [(0x0B, hashlib.sha256(data.rstrip(b"\0") or data[:4]).digest())]
    digests += [(a, b"\x55" * size) for a, size in extra]
    raw = struct.pack("<III", pcr, kind, len(digests))
    raw += b"".join(struct.pack("<H", a) + d for a, d in digests)
    return raw + struct.pack("<I", len(data)) + data


@given(
    st.lists(
        st.tuples(st.integers(0x20, 0xFFFF), st.integers(1, 200)),
        max_size=6,
        unique_by=lambda a: a[0],
    )
)
def test_n46_digests_of_unknown_algorithms_are_stepped_over_by_their_size(unknown):
    raw = spec_id([(0x0B, 32), *unknown])
    for pcr in range(8):
        raw += agile_event(pcr, EventType.SEPARATOR, bytes(4), unknown)
    log = parse_boot_log(raw)
    assert log.banks == (Alg.SHA256,) and [tuple(d) for d in log.skipped] == unknown
    assert (
        set(replay(log, Alg.SHA256)) == set(range(8)) and structural_failures(log, Alg.SHA256) == ()
    )


@pytest.mark.parametrize(
    "algorithms",
    [
        [(0x0B, 31)],
        [(0x0B, 32), (0x0B, 32)],
        [(0x0B, 32), (0x99, 0)],
        [(0x0B, 32), (0x99, 8), (0x99, 8)],
        [(0x99, 32)],
        [(0x0B, 32), *((0x100 + n, 4) for n in range(16))],
    ],
)
def test_n46_sizes_that_contradict_what_is_known_are_refused(algorithms):
    with pytest.raises(Malformed):
        parse_boot_log(spec_id(algorithms) + agile_event(0, 4, bytes(4), algorithms[1:]))


def test_n46_a_digest_whose_algorithm_was_not_declared_is_refused():
    with pytest.raises(Malformed):
        parse_boot_log(
            spec_id([(0x0B, 32), (0x27, 32)]) + agile_event(0, 4, bytes(4), [(0x99, 32)])
        )
    with pytest.raises(Malformed):
        parse_boot_log(spec_id([(0x0B, 32)]) + agile_event(0, 4, bytes(4), [(0x27, 32)]))


def slots(*events: tuple[int, int, bytes]) -> bytes:
    return spec_id([(0x0B, 32)]) + b"".join(
        agile_event(pcr, kind, data.ljust(50, b"\0"), []) for pcr, kind, data in events
    )


def test_n41_zeros_to_the_end_of_a_slot_are_no_other_data():
    """coreboot gives every event a data size of 50."""
    separators = [(p, EventType.SEPARATOR, bytes(4)) for p in range(8)]
    action = (5, EventType.EFI_ACTION, b"Exit Boot Services Invocation")
    assert structural_failures(parse_boot_log(slots(*separators, action)), Alg.SHA256) == ()
    for at, kind in ((4, EventType.SEPARATOR), (30, EventType.EFI_ACTION)):
        raw = bytearray(slots(*separators, action))
        start = raw.rindex(b"Exit") if kind == EventType.EFI_ACTION else len(raw) - 50 - 50 - 52
        raw[start + at + 5] = 1
        log = parse_boot_log(bytes(raw))
        assert Reason.EVENT_DATA in {f.reason for f in structural_failures(log, Alg.SHA256)}


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_startup_locality_before_zeros(locality):
    def log(data: bytes, pcr: int = 0) -> bytes:
        head = struct.pack("<III", pcr, EventType.NO_ACTION, 1) + b"\x0b\0" + bytes(32)
        return spec_id([(0x0B, 32)]) + head + struct.pack("<I", len(data)) + data

    text = b"StartupLocality\0" + bytes([locality])
    for size in (17, 50, 200):
        assert parse_boot_log(log(text.ljust(size, b"\0"))).startup_locality == locality
    for bad in (text[:16], text.ljust(50, b"\1"), text[:16] + b"\2" + bytes(33)):
        with pytest.raises(Malformed):
            parse_boot_log(log(bad))
    with pytest.raises(Malformed):
        parse_boot_log(log(text, pcr=1))


def variable(name: str, value: bytes) -> bytes:
    text = name.encode("utf-16-le")
    return bytes(16) + struct.pack("<QQ", len(name), len(value)) + text + value


def measured(*events: tuple[int, int, bytes, bytes]):
    """A log of (PCR, type, data, what is hashed)."""
    raw = spec_id([(0x0B, 32)])
    for pcr, kind, data, hashed in events:
        raw += struct.pack("<III", pcr, kind, 1) + b"\x0b\0" + hashlib.sha256(hashed).digest()
        raw += struct.pack("<I", len(data)) + data
    return parse_boot_log(raw)


SEPARATORS = [(p, EventType.SEPARATOR, bytes(4), bytes(4)) for p in range(8)]


def test_n41_n43_what_firmware_writes_is_a_finding_and_what_an_editor_does_is_told():
    """Variables of TPM 1.2's time are hashed without their head; a part of four zeros measured into
    PCR 0 looks like a separator.
    """
    off, kind = variable("SecureBoot", b"\0"), EventType.EFI_VARIABLE_DRIVER_CONFIG
    zeros = (0, EventType.S_CRTM_CONTENTS, b"FIT Type 0x2D", bytes(4))
    old = (7, kind, off, b"\0")
    for honest in (measured(old, *SEPARATORS), measured(zeros, *SEPARATORS)):
        assert structural_failures(honest, Alg.SHA256)
        assert edited_after_measuring(honest, Alg.SHA256) == ()
    on = variable("SecureBoot", b"\1")
    for dishonest in (
        measured((7, kind, on, b"\0"), *SEPARATORS),
        measured((7, kind, on, off), *SEPARATORS),
        measured(*SEPARATORS, SEPARATORS[7]),
        measured(*SEPARATORS, SEPARATORS[4]),
        measured(*SEPARATORS, SEPARATORS[0]),
        measured(SEPARATORS[7], *SEPARATORS),
    ):
        assert edited_after_measuring(dishonest, Alg.SHA256)


def test_secure_boot_is_never_read_from_a_value_hashed_alone():
    profile = parse_profile(profile_toml(Firmware("m"), "m").encode())
    kind = EventType.EFI_VARIABLE_DRIVER_CONFIG
    guid = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
    record = guid + variable("SecureBoot", b"\1")[16:]
    log = measured((7, kind, record, b"\1"), *SEPARATORS)
    assert Reason.SECURE_BOOT in {f.reason for f in secure_boot_failures(log, profile)}
