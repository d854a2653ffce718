"""Parse a TCG boot event log, crypto-agile or of the SHA-1 era. Nothing in it is trusted until it
replays to a quote.

Source: TCG PC Client Platform Firmware Profile (PFP) 1.06, section 10 (event logging); all numbers
are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.eventlog.event_type import EventType
from framegate.tpm.constants import DIGEST_SIZE, Alg

MAX_LOG_BYTES: Final = 2 * 1024 * 1024
"""Confidential guests reserve 1 MiB; real firmware stays below 128 KiB."""
MAX_EVENTS: Final = 4096
"""The busiest real log seen has some 200 events."""
MAX_ALGORITHMS: Final = 16
"""Twice what a TPM with SHA-1, SHA-2, SM3 and SHA-3 has."""
NEVER_EXTENDED: Final = 0xFFFFFFFF
"""Windows logs carry this pseudo PCR index for entries that are not measured."""
PCR_COUNT: Final = 24
_HCRTM: Final = 0x80000010
_SPEC_ID_AT: Final = 32
_MANY_FEEDS: Final = 8
"""Line feeds that do not all follow a carriage return by chance."""
_SPEC_ID_AGILE: Final = b"Spec ID Event03\0"
_SPEC_ID_OLD: Final = (b"Spec ID Event00\0", b"Spec ID Event02\0")


NO_ACTION: Final = int(EventType.NO_ACTION)
"""As a plain number, for loops over every event."""


class BootEvent(NamedTuple):
    """One event; `type` and `data` are the device's word until a check has bound them to a digest.
    A tuple, because logs have thousands.

    `digests` stand in the order of the log's `banks`, empty where the event has none for a bank:
    `BootLog.column` gives the place.
    """

    number: int
    offset: int
    pcr: int
    type: int
    digests: tuple[bytes, ...]
    data: bytes

    @property
    def type_name(self) -> str:
        """EV_… name, or the number in hex."""
        return (
            f"EV_{EventType(self.type).name}"
            if self.type in set(EventType)
            else f"0x{self.type:08x}"
        )

    @property
    def extends(self) -> bool:
        """Whether the firmware extends a PCR for this event."""
        return self.type != NO_ACTION and self.pcr != NEVER_EXTENDED


class DigestAlgorithm(NamedTuple):
    """A digest algorithm as the Spec ID event declares it: TPM_ALG_ID and size in bytes."""

    id: int
    size: int

    @property
    def known(self) -> bool:
        """Whether Framegate reads its digests."""
        return self.id in DIGEST_SIZE


@dataclass(frozen=True, slots=True)
class BootLog:
    """A parsed log: `banks` in the order the log declares them, `startup_locality` or None,
    `padding` bytes ignored at the end. `skipped` are algorithms that the log declares and Framegate
    does not know: their digests were stepped over by the size declared.
    """

    banks: tuple[Alg, ...]
    events: tuple[BootEvent, ...]
    startup_locality: int | None
    hcrtm: bool
    padding: int
    skipped: tuple[DigestAlgorithm, ...] = ()

    def column(self, bank: Alg) -> int:
        """Where in an event's `digests` those of `bank` stand. Raises ValueError for a bank the log
        does not declare.
        """
        return self.banks.index(bank)


def parse_boot_log(data: bytes) -> BootLog:  # noqa: C901 - ordered steps, read best in one piece
    """The log in `data`.

    Padding of zeros or 0xFF to the end of the area is allowed. Raises Malformed
    (BOOT_LOG_MALFORMED), with the offset, on: more than `MAX_LOG_BYTES` or `MAX_EVENTS`; sizes past
    the end; a digest algorithm that is not declared, repeated, or of another size than it has; a
    PCR index past 23; a short, unknown or second Spec ID event; a StartupLocality event that is
    repeated, out of range, followed by more than zeros, or not in PCR 0. Digests of declared
    algorithms that are unknown are stepped over by their declared size (PFP 10.4.5.1).
    """
    if len(data) > MAX_LOG_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a boot log of at most {MAX_LOG_BYTES} bytes", len(data)
        )
    cursor = _Cursor(bytes(data))
    if not data or cursor.padding_only():
        raise _bad(0, "a boot log", "padding only" if data else "nothing")
    events: list[BootEvent] = []
    banks: tuple[Alg, ...] = (Alg.SHA1,)
    declared: tuple[DigestAlgorithm, ...] = ()
    locality: int | None = None
    hcrtm = False
    first = _legacy_event(cursor, 0)
    if first.type == EventType.NO_ACTION and first.data[:16] == _SPEC_ID_AGILE:
        declared = _declared(first.data, first.offset)
        banks = tuple(Alg(d.id) for d in declared if d.known)
        # firmware exists that leaves the vendor bytes out of the event's size
        cursor.take(_vendor_behind(first, len(declared)), "vendor information")
    elif (
        first.type == EventType.NO_ACTION
        and first.data[:8] == b"Spec ID "
        and first.data[:16] not in _SPEC_ID_OLD
    ):
        raise _bad(first.offset, "Spec ID Event03, 02 or 00", ascii(first.data[:16]))
    else:
        events.append(first)
        locality = _locality(first)
    careful = (lambda c, n: _agile_event(c, n, declared)) if declared else _legacy_event
    quick = _agile_layout(declared) if declared else None
    while cursor.left and not cursor.padding_only():
        if quick is not None:
            quick(cursor, events)
            if not cursor.left or cursor.padding_only():
                break
        if len(events) >= MAX_EVENTS:
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {MAX_EVENTS} events", f"more at offset {cursor.at}"
            )
        start = cursor.at
        try:
            event = careful(cursor, len(events))
        except Malformed as error:
            raise _of_no_event(cursor.data, start, error) from error
        if event.type == EventType.NO_ACTION:
            if event.data[:8] == b"Spec ID ":
                raise _bad(event.offset, "one Spec ID event, first", "another one")
            startup = _locality(event)
            if startup is not None:
                if locality is not None:
                    raise _bad(event.offset, "one StartupLocality event", "a second")
                locality = startup
        hcrtm = hcrtm or (event.type == _HCRTM and event.pcr == 0)
        events.append(event)
    skipped = tuple(d for d in declared if not d.known)
    return BootLog(banks, tuple(events), locality, hcrtm, cursor.left, skipped)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        # from here on only zeros, only 0xFF: looked for once, because a log may hold thousands of
        # events that begin with a zero
        self.zeros, self.ones = len(data.rstrip(b"\0")), len(data.rstrip(b"\xff"))

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def padding_only(self) -> bool:
        return self.at >= self.zeros or self.at >= self.ones

    def take(self, size: int, name: str) -> bytes:
        if size > self.left:
            raise _bad(self.at, f"{size} bytes of {name}", f"{self.left} left", _CUT)
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self, name: str) -> int:
        return int(struct.unpack("<I", self.take(4, name))[0])

    def u16(self, name: str) -> int:
        return int(struct.unpack("<H", self.take(2, name))[0])


_AGAIN: Final = "read the log again from the firmware"
_CUT: Final = "the file ends within this event: copy the log whole"
_TAKEN_FOR_TEXT: Final = "something took the log for text and rewrote it: copy it as it is"


def _bad(offset: int, expected: str, actual: object, hint: str = _AGAIN) -> Malformed:
    return Malformed.of(
        Reason.BOOT_LOG_MALFORMED, expected, f"{actual} at offset {offset} (0x{offset:x})", hint
    )


def _of_no_event(data: bytes, at: int, problem: Malformed) -> Malformed:
    """Why what begins at `at` is no event, where that can be told better than by `problem`: it is
    what tools leave behind a log, or the log was copied as text.
    """
    rest = data[at:]
    if at and not rest.strip():
        return _bad(at, "padding of zeros or 0xFF", "line ends or spaces", _TAKEN_FOR_TEXT)
    if rest[_SPEC_ID_AT : _SPEC_ID_AT + 8] == b"Spec ID ":
        return _bad(at, "one log", "another log behind it", "give each by itself")
    version, count = (int.from_bytes(rest[a : a + 8], "little") for a in (0, 8))
    if version == 1 and count <= MAX_EVENTS and len(rest) > 16:
        kernel = "give the kernel's binary_bios_measurements, where they follow as events"
        return _bad(at, "events", "the firmware's table of final events", kernel)
    if problem.failures[0].reason == Reason.BOOT_LOG_MALFORMED and _taken_for_text(data):
        first = problem.failures[0]
        return Malformed.of(first.reason, first.expected, first.actual, _TAKEN_FOR_TEXT)
    return problem


def _taken_for_text(data: bytes) -> bool:
    """Whether every line feed follows a carriage return, or every byte is part of UTF-8: neither
    comes about in a whole log, which has digests.
    """
    feeds = data.count(b"\n")
    if feeds >= _MANY_FEEDS and feeds == data.count(b"\r\n"):
        return True
    try:
        return not data.decode().isascii()
    except UnicodeDecodeError:
        return False


def _pcr(cursor: _Cursor) -> int:
    offset, value = cursor.at, cursor.u32("PCR index")
    if value >= PCR_COUNT and value != NEVER_EXTENDED:
        raise _bad(offset, f"a PCR index below {PCR_COUNT}", value)
    return value


def _legacy_event(cursor: _Cursor, index: int) -> BootEvent:
    offset, pcr, kind = cursor.at, _pcr(cursor), cursor.u32("event type")
    digest = cursor.take(20, "SHA-1 digest")
    data = cursor.take(cursor.u32("event size"), "event data")
    return BootEvent(index, offset, pcr, kind, (digest,), data)


def _agile_layout(
    declared: tuple[DigestAlgorithm, ...],
) -> Callable[[_Cursor, list[BootEvent]], None]:
    """A reader that takes in plain events for as long as they come: every declared digest in order,
    measured, within the log.

    It stops, having changed nothing, before the first event that is anything else; that one is
    read, or refused, with care.
    """
    layout = struct.Struct("<III" + "".join(f"H{d.size}s" for d in declared) + "I")
    head, unpack = layout.size, layout.unpack_from
    count, ids, careful_ones = (
        len(declared),
        tuple(d.id for d in declared),
        frozenset({NO_ACTION, _HCRTM}),
    )
    known = tuple(4 + 2 * n for n, d in enumerate(declared) if d.known)
    plain = len(known) == count

    def read(cursor: _Cursor, events: list[BootEvent]) -> None:
        at, data, size = cursor.at, cursor.data, len(cursor.data)
        last = min(cursor.zeros, cursor.ones, size - head + 1)
        append, number, make = events.append, len(events), tuple.__new__
        while at < last and number < MAX_EVENTS:
            fields = unpack(data, at)
            pcr, kind = fields[0], fields[1]
            start = at + head
            end = start + fields[-1]
            if (
                fields[2] != count
                or fields[3:-1:2] != ids
                or end > size
                or (pcr >= PCR_COUNT and pcr != NEVER_EXTENDED)
                or kind in careful_ones
            ):
                break
            digests = fields[4:-1:2] if plain else tuple(fields[k] for k in known)
            append(make(BootEvent, (number, at, pcr, kind, digests, data[start:end])))
            at, number = end, number + 1
        cursor.at = at

    return read


def _agile_event(cursor: _Cursor, index: int, declared: tuple[DigestAlgorithm, ...]) -> BootEvent:
    offset, pcr, kind = cursor.at, _pcr(cursor), cursor.u32("event type")
    count = cursor.u32("digest count")
    if not 1 <= count <= len(declared):
        raise _bad(offset, f"1 to {len(declared)} digests, as the Spec ID event declares", count)
    sizes, digests = dict(declared), dict[int, bytes]()
    for _ in range(count):
        value = cursor.u16("digest algorithm")
        if value not in sizes or value in digests:
            raise _bad(offset, "each declared digest algorithm once", f"0x{value:04x}")
        digests[value] = cursor.take(sizes[value], "digest")
    data = cursor.take(cursor.u32("event size"), "event data")
    taken = tuple(digests.get(d.id, b"") for d in declared if d.known)
    return BootEvent(index, offset, pcr, kind, taken, data)


def _declared(data: bytes, offset: int) -> tuple[DigestAlgorithm, ...]:
    """Digest algorithms of TCG_EfiSpecIdEvent (PFP 10.4.5.1), those we do not know among them."""
    if len(data) < 28:
        raise _bad(offset, "a Spec ID event of at least 28 bytes", len(data))
    minor, major, count = data[20], data[21], int(struct.unpack_from("<I", data, 24)[0])
    if major != 2:
        raise _bad(offset, "Spec ID version 2.x", f"{major}.{minor}")
    if not 1 <= count <= MAX_ALGORITHMS or len(data) < 28 + 4 * count + 1:
        raise _bad(
            offset, f"1 to {MAX_ALGORITHMS} digest algorithms that fit the Spec ID event", count
        )
    declared: list[DigestAlgorithm] = []
    for each in map(DigestAlgorithm._make, struct.iter_unpack("<HH", data[28 : 28 + 4 * count])):
        wrong = DIGEST_SIZE[Alg(each.id)] != each.size if each.known else not each.size
        if wrong or each.id in {d.id for d in declared}:
            raise _bad(
                offset,
                "digest algorithms with their sizes, each once",
                f"0x{each.id:04x} of {each.size} bytes",
            )
        declared.append(each)
    if not any(d.known for d in declared):
        only = f"0x{declared[0].id:04x}"
        bank = "switch on the TPM's SHA-256 bank in the firmware's settings"
        raise _bad(offset, "a digest algorithm that Framegate knows", only, bank)
    return tuple(declared)


def _vendor_behind(first: BootEvent, count: int) -> int:
    """How many vendor bytes stand behind the Spec ID event instead of in it."""
    data, vendor = first.data, 28 + 4 * count
    missing = vendor + 1 + data[vendor] - len(data)
    if 0 < missing < data[vendor]:
        raise _bad(
            first.offset, f"{data[vendor]} bytes of vendor information", len(data) - vendor - 1
        )
    return max(0, missing)


def _locality(event: BootEvent) -> int | None:
    """Locality of a StartupLocality event (PFP 10.4.5.3), else None. Zeros may stand behind it:
    coreboot writes every event into a slot of one size.
    """
    if event.type != EventType.NO_ACTION or event.data[:16] != b"StartupLocality\0":
        return None
    good = len(event.data) >= 17 and event.data[16] in {0, 3, 4} and not any(event.data[17:])
    if not good or event.pcr != 0:
        raise _bad(
            event.offset, "StartupLocality 0, 3 or 4 in PCR 0", event.data[16:].hex() or "nothing"
        )
    return event.data[16]
