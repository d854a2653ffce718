"""Windows of series: one encoding each, and nothing but our errors for any bytes."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.payload.series.form import (
    FLOAT32,
    INT16,
    MAX_CHANNELS,
    MAX_SAMPLES,
    Channel,
    Series,
    marshal_series,
    parse_series,
    without,
)
from framegate_simulators.vibration.sensor import golden

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,23}", fullmatch=True)
SCALES = st.floats(2**-20, 2**10, width=32)


@st.composite
def windows(draw):
    kind, count = draw(st.sampled_from([INT16, FLOAT32])), draw(st.integers(64, 96))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    channels = []
    for name in names:
        one = st.integers(-32768, 32767) if kind == INT16 else st.floats(-(2**30), 2**30, width=32)
        values = draw(st.lists(one, min_size=count, max_size=count))
        samples = struct.pack(f"<{count}{'h' if kind == INT16 else 'f'}", *values)
        scale = draw(SCALES) if kind == INT16 else 1.0
        channels.append(Channel(name, "m/s2", scale, samples))
    first = draw(st.integers(0, 2**60))
    last = first + draw(st.integers(0, 10**9))
    rate, shaft = draw(st.integers(1, 10**9)) / 1000, draw(st.integers(0, 10**7)) / 1000
    return Series(kind, rate, count, first, last, shaft, tuple(channels))


@settings(max_examples=60, deadline=None)
@given(windows())
def test_a_window_reads_back_to_itself_and_has_one_encoding(series):
    data = marshal_series(series)
    assert parse_series(data) == series
    assert marshal_series(parse_series(data)) == data
    less = without(series, {series.names[0], "not-there"})
    assert not less.channels[0].samples.strip(b"\0")
    assert less.channels[1:] == series.channels[1:] and len(marshal_series(less)) == len(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 300), st.booleans())
def test_whatever_bytes_come_only_our_errors_do(noise, at, overlaid):
    whole = golden(1)
    data = whole[:at] + noise + whole[at + len(noise) :] if overlaid else noise
    try:
        series = parse_series(data)
    except Malformed as error:
        assert error.reason == Reason.PAYLOAD
        return
    assert marshal_series(series) == data, "what is read has one encoding"
    assert series.count <= MAX_SAMPLES and len(series.channels) <= MAX_CHANNELS
