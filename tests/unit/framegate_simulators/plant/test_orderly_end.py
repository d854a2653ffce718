"""A plant that is told to end ends what it started, whichever demonstration it is in."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import framegate_simulators
from framegate_simulators.plant.orderly_end import ends_in_order, run_to_its_end
from framegate_simulators.plant.processes import PlantError

pytestmark = pytest.mark.slow

SCRIPT = """
import sys, time
from pathlib import Path
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.plant import Plant

class Waits(Story):
    def plan(self):
        return [Scene("waits", "the end", self.wait)]

    def wait(self):
        child = self.plant.start("child", "/bin/sleep", "600")
        print("child", child.pid, self.plant.folder, flush=True)
        time.sleep(600)

sys.argv[1:] = ["--build", sys.argv[1]]
tell(Waits, Plant, name="demo-waits", summary="", simulated="nothing")
"""


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_a_demonstration_that_is_told_to_end_leaves_nothing(tmp_path, number=signal.SIGTERM):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = ""
    while not line.startswith("child "):
        line = process.stdout.readline()
        assert line, "it ended before its act began"
    _, pid, folder = line.split()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    process.stdout.close()
    assert gone(int(pid)) and not Path(folder).exists()


def test_what_somebody_else_set_stays(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def own(*_):
        """Somebody's."""

    signal.signal(signal.SIGTERM, own)
    try:
        with ends_in_order():
            assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_signal_does_not_cut_the_ending_short():
    with pytest.raises(SystemExit) as caught, ends_in_order():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ctrl_c_ends_a_program_as_somebody_wanted_and_by_every_finally():
    ended = []

    def main():
        try:
            raise KeyboardInterrupt
        finally:
            ended.append(True)

    with pytest.raises(SystemExit) as caught:
        run_to_its_end(main)
    assert caught.value.code == 130 and caught.value.__suppress_context__ and ended


def test_what_a_plant_did_not_do_ends_a_program_in_its_words():
    def main():
        raise PlantError("no broker answered")

    with pytest.raises(SystemExit) as caught:
        run_to_its_end(main)
    assert caught.value.code == "no broker answered", "said, and exit code 1"


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)])
def test_what_else_ends_a_program_stays_what_it_is(error):
    def main():
        raise error

    with pytest.raises(type(error)) as caught:
        run_to_its_end(main)
    assert caught.value is error


def test_every_program_that_make_runs_ends_so():
    """Of those whose main is called as it is; others return a code of their own."""
    folder = Path(framegate_simulators.__file__).parent
    demos = [path for path in (folder / "demo").glob("*.py") if "__main__" in path.read_text()]
    assert len(demos) >= 12
    assert all("run_to_its_end(main)" in path.read_text() for path in demos)
