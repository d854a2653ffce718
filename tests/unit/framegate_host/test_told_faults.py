"""Faults of the system, in words that say what it is, of which file, and nothing else."""

import errno
import os
import subprocess
import sys

import pytest

from framegate.errors import Reason, Refused, Unavailable
from framegate_host import private_files
from framegate_host.private_files import keep_private, replacing_private, write_private
from framegate_host.program import of_the_system
from support.command_walk import PROGRAMS, run_here


def fails(number):
    def write(*_given, **_how):
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_and_its_file_is_named(tmp_path, monkeypatch, number):
    monkeypatch.setattr(private_files, "_write", fails(number))
    with pytest.raises(OSError) as caught:
        write_private(tmp_path / "export", b"x")
    told = of_the_system(caught.value).failures[0]
    assert told.expected == "room to write" and str(tmp_path / "export") in told.actual
    assert "address" not in told.hint and list(tmp_path.iterdir()) == []


def test_what_fills_the_disk_bit_by_bit_is_named_too(tmp_path):
    with pytest.raises(OSError) as caught, replacing_private(tmp_path / "export"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "export")
    with pytest.raises(OSError) as other, replacing_private(tmp_path / "export"):
        raise OSError(errno.ECONNRESET, "Connection reset by peer")
    assert other.value.filename is None, "that is not of this file"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_private, lambda p, _: replacing_private(p).__enter__()])
def test_a_file_that_stands_beside_for_a_moment_is_not_what_somebody_named(tmp_path, write):
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "none" / "export", b"x")
    assert caught.value.filename == str(tmp_path / "none" / "export")


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "make room"),
        (errno.ENOENT, "it was removed"),
        (errno.EROFS, "writable by this user"),
        (errno.EACCES, "writable by this user"),
    ],
)
def test_a_service_says_what_its_disk_lacks(tmp_path, monkeypatch, number, word):
    monkeypatch.setattr(private_files, "_write", fails(number))
    with pytest.raises(Unavailable) as caught:
        keep_private(tmp_path / "state", b"x")
    told = caught.value.failures[0]
    assert word in told.expected + told.hint and ("room" in told.hint) == (number == errno.ENOSPC)


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - {"framegate-console", "framegate-line"}))
def test_words_in_another_encoding_are_wrong_use(program, capsys):
    words = {
        "framegate": ["camera", "why", "b\udcff"],
        "framegate-agent": ["join", "b\udcff"],
        "framegate-controller": ["profile", "add", "b\udcff"],
    }.get(program, ["b\udcff"])
    done = run_here(program, words, capsys)
    assert done.code in {2, 3, 7} and "expected  " in done.err


def test_a_terminal_of_another_encoding_shows_what_it_can():
    words = "from framegate_host.programs import OPERATOR as p; p.run()"
    done = subprocess.run(
        [sys.executable, "-c", words, "--help"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and b"Usage" in done.stdout, done.stderr
    assert max(done.stdout) < 128


def test_an_error_of_ours_inside_another_says_what_it_saw():
    inner = Unavailable.of(Reason.UNAVAILABLE, "an answer of the TPM", "an IO failure", "doctor")
    outer = Refused.of(Reason.USAGE, "a TPM", inner, "look at it")
    assert outer.failures[0].actual == "an IO failure, not an answer of the TPM"
    assert "doctor" not in str(outer) and "unavailable" not in str(outer)
