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
    "feeds",
    "cameras",
    "machines",
    "sinks",
    "stores",
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


def test_what_watching_costs_is_written_beside_its_bars(tmp_path):
    argv = [sys.executable, "-m", "framegate_simulators.bench.watch", "--quick"]
    done = subprocess.run(
        [*argv, "--build", str(tmp_path)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench-watch.json").read_text())
    assert len(figures["lines"]) == 7 and all(line["figure"] for line in figures["lines"])
    assert figures["storm"]["held"] == figures["storm"]["cap"] and figures["storm"]["requests"] == 1
    page = (tmp_path / "bench-watch.md").read_text()
    assert page.startswith("Load while this was measured") and page == done.stdout[: len(page)]


def test_no_benchmark_is_left_out():
    argv = [sys.executable, "-m", "framegate_simulators.bench.run", "--help"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    listed = told[told.index("{") + 1 : told.index("}")].replace("\n", "").replace(" ", "")
    assert sorted(listed.split(",")) == sorted(PARTS)
