"""Logs as tools hand them on: cut, rewritten as text, with something else behind them. None is
read, each is told for what it is.
"""

import struct

import pytest

from framegate.errors import Malformed
from framegate.eventlog import parse_boot_log
from framegate_simulators.machine.boot import Firmware, boot_log, measurements

LOG = boot_log(measurements(Firmware("m")))
COPIED = {
    "a line end": (LOG + b"\n", "line ends or spaces", "copy it as it is"),
    "spaces": (LOG + b" \r\n", "line ends or spaces", "copy it as it is"),
    "another log": (LOG + LOG, "another log behind it", "give each by itself"),
    "final events": (
        LOG + struct.pack("<QQIII", 1, 1, 5, 0x80000007, 1) + bytes(range(40)),
        "table of final events",
        "binary_bios_measurements",
    ),
    "text, UTF-8": (LOG.decode("latin-1").encode(), "", "took the log for text"),
    "text, replaced": (LOG.decode(errors="replace").encode(), "", "took the log for text"),
    "line ends": ((LOG + LOG[-60:]).replace(b"\n", b"\r\n") + b"\r\n" * 8, "", "for text"),
}


@pytest.mark.parametrize("name", COPIED)
def test_what_became_of_a_log_on_its_way_is_told(name):
    raw, seen, hint = COPIED[name]
    with pytest.raises(Malformed) as refused:
        parse_boot_log(raw)
    first = refused.value.failures[0]
    assert seen in first.actual and hint in first.hint


@pytest.mark.parametrize("size", range(len(LOG) - 400, len(LOG) - 1, 7))
def test_a_log_that_is_cut_within_an_event_says_so(size):
    try:
        parse_boot_log(LOG[:size])
    except Malformed as refused:
        assert "copy the log whole" in refused.failures[0].hint


def test_a_log_of_unknown_algorithms_alone_asks_for_a_bank_that_is_read():
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0x27, 32, 0)
    raw = struct.pack("<II20xI", 0, 3, len(spec)) + spec
    with pytest.raises(Malformed, match="SHA-256 bank"):
        parse_boot_log(raw)
