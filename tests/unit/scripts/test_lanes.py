"""A run goes on where one of its processes is gone: what that one had left is run once, by others,
and the run ends.
"""

import os
import re
import subprocess
import sys

import pytest

CONFTEST = """
import pytest
from support.lanes import Lanes

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return Lanes(config, log)
"""
ENDS = """
import os, time
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_ends(n):
    if n == {at}:
        os._exit(1)
"""
GOES_ON = """
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_goes_on(n):
    pass
"""


def ran(folder, tests, processes: int, conftest: str = CONFTEST) -> str:
    """What is printed of a run in `folder`, whose first file has a test that ends its process."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", str(processes), "-p", "no:cacheprovider", "."],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "at", "others", "processes"),
    [
        (6, 3, (9, 9, 9), 2),  # the others have work
        (6, 5, (1, 1), 2),  # it was the last one
        (6, 4, (), 1),  # nobody is left but who takes its place, and one test
        (1, 0, (1,), 1),
    ],
)
def test_a_run_ends_where_a_test_ends_its_process(tmp_path, request, tests, at, others, processes):
    (tmp_path / "test_1.py").write_text("def test_before():\n    pass\n")
    (tmp_path / "test_2.py").write_text(ENDS.format(tests=tests, at=at))
    for number, count in enumerate(others, 3):
        (tmp_path / f"test_{number}.py").write_text(GOES_ON.format(tests=count))
    said = ran(tmp_path, request.config.rootpath / "tests", processes)
    passed = 1 + tests - 1 + sum(others)
    assert re.search(rf"1 failed, {passed} passed", said), said
    assert f"crashed while running 'test_2.py::test_ends[{at}]'" in said


SECOND = """
import os, pathlib, time

def test_ends_while_another_is_replaced():
    while not pathlib.Path("gw2").exists():
        time.sleep(0.02)
    os._exit(1)
"""
SLOW_TO_BEGIN = """
import os, pathlib, time

def pytest_collection_modifyitems():
    here = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(here).touch()
    while here == "gw2" and not pathlib.Path("gw3").exists():
        time.sleep(0.02)
"""


@pytest.mark.slow
def test_a_second_process_ends_before_whoever_replaces_the_first_has_begun(tmp_path, request):
    """What took the first one's place has not said which tests it sees, and gets none yet."""
    (tmp_path / "test_1.py").write_text(ENDS.format(tests=3, at=0))
    (tmp_path / "test_2.py").write_text(SECOND)
    for number in (3, 4):
        (tmp_path / f"test_{number}.py").write_text(GOES_ON.format(tests=2))
    said = ran(tmp_path, request.config.rootpath / "tests", 2, CONFTEST + SLOW_TO_BEGIN)
    assert re.search(r"2 failed, 6 passed", said), said
