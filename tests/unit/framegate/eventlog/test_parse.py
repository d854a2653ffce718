"""Boot logs that are none, by what their first event says of the others."""

import hashlib
import struct

import pytest

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log
from framegate.eventlog.content import (
    MAX_SIGNATURES,
    MAX_TEXT_BYTES,
    bound_text,
    signature_database,
)
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent
from framegate.tpm.constants import DIGEST_SIZE, Alg

BOTH = ((Alg.SHA1, 20), (Alg.SHA256, 32))


def spec_id(
    *, major: int = 2, banks=BOTH, count: int | None = None, vendor: bytes = b"\0"
) -> bytes:
    """A log that holds nothing but its Spec ID event."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, major, 0, 2)
    spec += struct.pack("<I", len(banks) if count is None else count)
    spec += b"".join(struct.pack("<HH", *bank) for bank in banks) + vendor
    head = struct.pack("<II", 0, EventType.NO_ACTION) + bytes(20)
    return head + struct.pack("<I", len(spec)) + spec


def event(*digests: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<H", alg) + value for alg, value in digests)
    return struct.pack("<III", 4, EventType.ACTION, len(digests)) + body + struct.pack("<I", 0)


def test_the_log_they_are_changed_from_is_one():
    assert parse_boot_log(spec_id()).banks == (Alg.SHA1, Alg.SHA256)
    assert parse_boot_log(spec_id(vendor=b"\3abc")).banks == (Alg.SHA1, Alg.SHA256)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (spec_id(major=1), r"Spec ID version 2\.x, got .*1\.0"),
        (spec_id(count=0), "1 to 16 digest algorithms"),
        (spec_id(count=7), "1 to 16 digest algorithms"),
        (spec_id(banks=((Alg.SHA1, 20), (Alg.SHA1, 20))), "digest algorithms with their sizes"),
        (spec_id(banks=((Alg.SHA256, 20),)), "digest algorithms with their sizes"),
        (spec_id(vendor=b"\3ab"), "3 bytes of vendor information"),
        (
            spec_id() + event((Alg.SHA1, bytes(20)), (Alg.SHA1, bytes(20))),
            "each declared digest algorithm once",
        ),
        (spec_id() + event((Alg.SHA384, bytes(48))), "each declared digest algorithm once"),
        (spec_id() + event(), "1 to 2 digests"),
    ],
    ids=["version", "none", "more", "twice", "size", "vendor", "digest", "unknown", "empty"],
)
def test_logs_that_are_none(raw, message):
    with pytest.raises(Malformed, match=message) as caught:
        parse_boot_log(raw)
    assert caught.value.reason == Reason.BOOT_LOG_MALFORMED


def test_texts_too_long_to_be_a_command():
    def measured(data: bytes) -> BootEvent:
        return BootEvent(0, 0, 8, EventType.IPL, (hashlib.sha256(data).digest(),), data)

    assert bound_text(measured(b"quiet"), Alg.SHA256, 0) == "quiet"
    for data in (b"", b"x" * (MAX_TEXT_BYTES + 1)):
        assert bound_text(measured(data), Alg.SHA256, 0) is None


def test_signature_lists_that_hold_more_than_any_firmware():
    size = DIGEST_SIZE[Alg.SHA256] + 16
    entries = bytes(size) * (MAX_SIGNATURES + 1)
    raw = bytes(16) + struct.pack("<III", 28 + len(entries), 0, size) + entries
    with pytest.raises(Malformed, match=f"at most {MAX_SIGNATURES} signatures") as caught:
        signature_database(raw)
    assert caught.value.reason == Reason.TOO_LARGE
