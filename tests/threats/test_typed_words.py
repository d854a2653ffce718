"""What reaches a person's shell, and what a program that was started oddly writes where."""

import os
import shlex
import subprocess
import sys

import pytest

from framegate_host.console import typed
from support.paths import ROOT

FLAT = ["plain", "two words", "x; touch gone", "$(touch gone)", "`touch gone`", "'", "-x", "a\nb"]


@pytest.mark.parametrize("name", FLAT, ids=range(len(FLAT)))
def test_n232_a_name_in_a_printed_command_is_one_word_of_it(name):
    """A zone, a part, a file that somebody else named stands in commands that people paste."""
    words = shlex.split(f"framegate part add {typed(name)} --golden x")
    assert len(words) == 6 and words[3:5] != ["touch", "gone"]
    if "\n" not in name:
        assert words[3] == name


def without(descriptors, *argv):
    """`argv`, as a shell starts it without some of its standard descriptors: `>&-`."""
    gone = " ".join(f"{number}>&-" for number in descriptors)
    return ["sh", "-c", f'exec "$0" "$@" {gone}', *argv]


@pytest.mark.parametrize("gone", [(1,), (2,), (0, 1, 2)], ids=["stdout", "stderr", "all"])
def test_n233_a_program_without_its_standard_descriptors_writes_into_no_file_of_its_own(
    tmp_path, gone
):
    """Started with `>&-`, the next file that it opens would be its standard output."""
    said = (
        "import os, sys\n"
        "from framegate_host.programs import hold_standard_descriptors\n"
        "hold_standard_descriptors()\n"
        "with open('secret', 'wb') as file:\n"
        "    assert file.fileno() > 2\n"
        "    print('to somebody', flush=True)\n"
        "    print('to somebody', file=sys.stderr, flush=True)\n"
        "    os.write(1, b'to somebody'); os.write(2, b'to somebody')\n"
        "    file.write(b'key')\n"
        "sys.stdin.read()\n"
    )
    done = subprocess.run(
        without(gone, sys.executable, "-c", said),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "secret").read_bytes() == b"key"


def test_n233_a_command_whose_output_is_closed_does_its_work(tmp_path):
    """`framegate policy init >&-`: no traceback."""
    program = [sys.executable, "-c", "from framegate_host.programs import OPERATOR as p; p.run()"]
    done = subprocess.run(
        without((1,), *program, "policy", "init", "p"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
