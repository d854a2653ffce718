"""A run that stands still is told and ended; one that moves, or that is over, is left alone."""

import signal
import subprocess
import sys
import threading

import pytest

from support.standstill import Standstill, _send

pytestmark = pytest.mark.slow

RUN = """
import signal, subprocess, sys, time
from support.standstill import Standstill
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
if sys.argv[2] == "stopped":
    child.send_signal(signal.SIGSTOP)
watch = Standstill(0.5)
if sys.argv[2] == "over":
    watch.pytest_unconfigure()
    time.sleep(1.5)
    child.kill()
    sys.exit(0)
child.wait()
time.sleep(60)
"""
CHILD = """
import faulthandler, time
faulthandler.enable()
def stands_still():
    print(flush=True)
    time.sleep(60)
stands_still()
"""


def run(how: str, tests) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-c", RUN, CHILD, how]
    return subprocess.run(argv, cwd=tests, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("how", ["waiting", "stopped"])
def test_what_stands_still_is_told_with_its_stack_and_ended(how, request):
    done = run(how, request.config.rootpath / "tests")
    assert done.returncode == 1
    assert "no test ended for 0.5 s" in done.stderr
    state = {"waiting": "S (sleeping)", "stopped": "T (stopped)"}[how]
    assert f"{state}, in " in done.stderr
    assert "in stands_still" in done.stderr, "the stack of the process that ran the test"
    assert "in wait" in done.stderr, "and of the one that waits for it"


def test_a_run_that_is_over_is_left_alone(request):
    done = run("over", request.config.rootpath / "tests")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_that_moves_goes_on_until_it_does_not():
    now, ended = 0.0, threading.Event()
    watch = Standstill(1.0, ended.set, lambda: now)
    for _ in range(8):
        now += 0.9
        watch.pytest_runtest_logreport()
        assert not ended.wait(0.06)
    now += 1.1
    assert ended.wait(60)


def test_signals_of_who_ended_meanwhile_are_no_error():
    process = subprocess.Popen(["true"])
    process.wait()
    _send(process.pid, signal.SIGABRT)
