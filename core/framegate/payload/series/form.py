"""A window of a time series as bytes: describes itself, is bounded, and has one encoding.

    0   4  "FGEV"
    4   1  encoding, 3
    5   1  version, 1
    6   1  samples: 1 int16, 2 float32
    7   1  channels, 1 to 16
    8   4  rate in thousandths of a sample a second
    12  4  samples of one channel
    16  8  when the first sample was taken, microseconds since 1970
    24  8  when the last one was
    32  4  turns of the shaft in a thousand seconds, 0: not known
    36     for each channel: 24 bytes of name, 8 bytes of unit, both ASCII filled up with zeros, and
           float32, what one count is in that unit (1 for float32 samples)
    then all samples of the first channel, of the second, and so on

Little-endian, unlike records: it is what converters and microcontrollers write. Pure: a parser of
foreign bytes that allocates no more than it was given.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.payload.contract import MAGIC

ENCODING_SERIES: Final = 3
VERSION: Final = 1
INT16, FLOAT32 = 1, 2
BYTES_OF: Final = {INT16: 2, FLOAT32: 4}
MAX_CHANNELS: Final = 16
"""Three axes of four bearings and the phases of the current."""
MAX_SAMPLES: Final = 1 << 18
"""Of one channel: ten seconds at 25.6 kHz, the rate of the usual accelerometers."""
MIN_SAMPLES: Final = 64
MAX_RATE_HZ: Final = 1_000_000.0
"""Above it are radios; what wears out in machines is heard below 50 kHz."""
MAX_SHAFT_HZ: Final = 10_000.0
MAX_US: Final = 1 << 63
_HEAD: Final = struct.Struct("<4sBBBBIIQQI")
_CHANNEL: Final = struct.Struct("<24s8sf")
_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._/-]{0,23}")
_UNIT: Final = re.compile(rb"[A-Za-z0-9%/^*.-]{1,8}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: what one count is in `unit`, and its samples as bytes, little-endian."""

    name: str
    unit: str
    scale: float
    samples: bytes


@dataclass(frozen=True, slots=True)
class Series:
    """A window that `parse_series` read; rates in Hz, times in microseconds since 1970."""

    sample_type: int
    rate_hz: float
    count: int
    first_us: int
    last_us: int
    shaft_hz: float
    channels: tuple[Channel, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its channels, in order."""
        return tuple(channel.name for channel in self.channels)


def parse_series(data: bytes) -> Series:
    """The window in `data`.

    1. it begins as a series does, of this version, with samples of a type there is;
    2. channels, rate, count and turns are within limits; it does not end before it begins;
    3. it has exactly as many bytes as that makes;
    4. names and units are printable, names each once, scales are numbers above 0;
    5. each sample is a number.

    Raises Malformed (PAYLOAD), and nothing else.
    """
    if len(data) < _HEAD.size:
        raise _malformed(f"a head of {_HEAD.size} bytes", f"{len(data)} bytes")
    magic, encoding, version, kind, channels, rate, count, first, last, shaft = _HEAD.unpack_from(
        data
    )
    if (magic, encoding, version) != (MAGIC, ENCODING_SERIES, VERSION) or kind not in BYTES_OF:  # 1
        raise _malformed(
            f"{MAGIC.decode()}, encoding {ENCODING_SERIES}, version {VERSION}, int16 or float32",
            f"{len(data)} bytes that begin {data[:8].hex()}",
        )
    if (
        not 1 <= channels <= MAX_CHANNELS
        or not 0 < rate / 1000 <= MAX_RATE_HZ
        or not MIN_SAMPLES <= count <= MAX_SAMPLES
        or shaft / 1000 > MAX_SHAFT_HZ
        or not first <= last < MAX_US
    ):  # 2
        raise _malformed(
            f"1 to {MAX_CHANNELS} channels of {MIN_SAMPLES} to {MAX_SAMPLES} samples at up to"
            f" {MAX_RATE_HZ:g} Hz, a shaft of up to {MAX_SHAFT_HZ:g} Hz, an end after its start",
            f"{channels} of {count} at {rate / 1000:g} Hz, {shaft / 1000:g} Hz, {first} to {last}",
        )
    row = count * BYTES_OF[kind]
    whole = _HEAD.size + channels * (_CHANNEL.size + row)
    if len(data) != whole:  # 3
        raise _malformed(f"{whole} bytes for {channels} channels of {count} samples", len(data))
    samples_at, rows = _HEAD.size + channels * _CHANNEL.size, []
    for number in range(channels):
        name, unit, scale = _CHANNEL.unpack_from(data, _HEAD.size + number * _CHANNEL.size)
        at = samples_at + number * row
        rows.append(
            Channel(_text(name, _NAME), _text(unit, _UNIT), scale, bytes(data[at : at + row]))
        )
    series = Series(kind, rate / 1000, count, first, last, shaft / 1000, tuple(rows))
    _require_numbers(series)
    return series


def _require_numbers(series: Series) -> None:
    scales = [channel.scale for channel in series.channels]
    if len(set(series.names)) != len(series.names) or not all(
        math.isfinite(scale) and scale > 0 for scale in scales
    ):  # 4
        raise _malformed(
            "channels named once each, with a scale above 0", ascii(series.names)[:100]
        )
    if series.sample_type == FLOAT32 and any(scale != 1 for scale in scales):
        raise _malformed("float32 samples in their unit", "a scale besides")
    if series.sample_type == FLOAT32:
        for channel in series.channels:  # 5
            if not all(map(math.isfinite, _floats(channel.samples))):
                raise _malformed(f"numbers in channel {channel.name}", "NaN or infinity")


def marshal_series(series: Series) -> bytes:
    """The bytes of `series`, which `parse_series` reads back to the same. Raises Malformed where
    they would be no window.
    """
    try:
        head = _HEAD.pack(
            MAGIC,
            ENCODING_SERIES,
            VERSION,
            series.sample_type,
            len(series.channels),
            round(series.rate_hz * 1000),
            series.count,
            series.first_us,
            series.last_us,
            round(series.shaft_hz * 1000),
        )
        rows = [
            _CHANNEL.pack(c.name.encode("ascii"), c.unit.encode("ascii"), c.scale)
            for c in series.channels
        ]
    except (struct.error, UnicodeEncodeError, OverflowError) as error:
        raise _malformed("a window of a series", error) from error
    data = b"".join((head, *rows, *(channel.samples for channel in series.channels)))
    parse_series(data)
    return data


def without(series: Series, masked: Collection[str]) -> Series:
    """`series` with every sample of the `masked` channels 0; names that it lacks are none of it."""
    empty = bytes(series.count * BYTES_OF[series.sample_type])
    channels: Sequence[Channel] = [
        replace(channel, samples=empty) if channel.name in masked else channel
        for channel in series.channels
    ]
    return replace(series, channels=tuple(channels))


def _text(raw: bytes, pattern: re.Pattern[bytes]) -> str:
    name = raw.rstrip(b"\0")
    if not pattern.fullmatch(name):
        raise _malformed("names and units of letters, digits and . _ - /", ascii(name)[:60])
    return name.decode("ascii")


def _floats(samples: bytes) -> array[float]:
    values = array("f")
    values.frombytes(samples)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _malformed(expected: str, came: object) -> Malformed:
    return Malformed.of(
        Reason.PAYLOAD, f"a series: {expected}", came, "docs/reference/protocol.md, section 5"
    )
