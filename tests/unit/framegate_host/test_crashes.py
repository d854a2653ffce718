"""A crash in a library of C says where each thread was, in children that are in their cage, too."""

import signal
import subprocess

from framegate_host.child_process import OWN_PYTHON

CRASH = """
import ctypes
from framegate_host.logs import tell_crashes
{before}
tell_crashes()
{caged}
def in_the_library():
    ctypes.string_at(0)
in_the_library()
"""
CAGED = """
from framegate_host.cages import INFERENCE
from framegate_host.confinement import Confinement
confinement = Confinement(INFERENCE, required=False)
confinement.isolate((2,))
confinement.close_paths()
confinement.close_calls()
"""


def crashed(caged: str, before: str = "") -> subprocess.CompletedProcess[str]:
    program = CRASH.format(before=before, caged=caged)
    return subprocess.run(
        [*OWN_PYTHON, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_crash_says_where_it_was_and_ends_the_program():
    done = crashed("")
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr and "in_the_library" in done.stderr


def test_so_does_one_in_the_inference_childs_cage():
    done = crashed(CAGED)
    assert done.returncode == -signal.SIGSEGV
    assert "in_the_library" in done.stderr


def test_a_program_without_a_standard_error_starts_all_the_same():
    done = crashed("raise SystemExit(0)", before="import sys; sys.__stderr__ = None")
    assert done.returncode == 0
