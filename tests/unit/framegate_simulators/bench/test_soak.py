"""What a soak calls growing, and what it does not."""

import os
import subprocess
import sys

import pytest

from framegate_simulators.bench.soak import GREW_KIB, Memory, resident_kib


@pytest.mark.parametrize(
    ("series", "grows"),
    [
        ([92_000] * 100, False),
        ([50_000 + 420 * n for n in range(100)], True),
        ([60_000 + min(n, 30) * 1000 for n in range(100)], False),  # warms up, then is flat
        ([92_000 + (n % 7) * 200 for n in range(100)], False),  # up and down
        ([92_000 + n * 190 for n in range(100)], True),  # 19 MiB over the run, as it once was
        ([92_000] * 75 + [92_000 + 2 * GREW_KIB] * 25, True),
    ],
)
def test_growth_after_the_warm_up_is_told(series, grows):
    assert Memory.of(series, 40).grows == grows


def test_a_picture_is_a_line_of_bars():
    picture = Memory.of([50_000 + 420 * n for n in range(100)], 40).picture
    assert 40 <= len(picture) <= 50 and picture[-1] == "█" and picture[0] < picture[-1]


def test_a_process_that_is_gone_has_no_memory():
    assert resident_kib(os.getpid()) > 1_000
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait()
    assert resident_kib(child.pid) == 0
