"""Every benchmark runs to its end and writes its figures: a limit that is drawn tighter in the
product must not silently take a figure away.
"""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.alone  # together minutes of two cores

PARTS = [
    "verify",
    "alarms",
    "issue",
    "frames",
    "line",
    "inspection",
    "people",
    "attestation",
    "strangers",
    "sinks",
    "plant",
]


@pytest.mark.parametrize("part", PARTS)
def test_every_benchmark_writes_its_figures(part, tmp_path):
    argv = [sys.executable, "-m", "framegate_simulators.bench.run", "--only", part]
    done = subprocess.run(
        [*argv, "--build", str(tmp_path)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert set(figures) > {"machine"}, "a part without figures says nothing"
    assert all(figures.values())


def test_no_benchmark_is_left_out():
    argv = [sys.executable, "-m", "framegate_simulators.bench.run", "--help"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    listed = told[told.index("{") + 1 : told.index("}")].replace("\n", "").replace(" ", "")
    assert sorted(listed.split(",")) == sorted(PARTS)
