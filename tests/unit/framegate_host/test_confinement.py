"""Cages as a table, and what happens where a kernel has no part of one."""

import subprocess
import sys

import pytest

from framegate.errors import Reason, Unavailable
from framegate_host.cages import CAGES, COMPUTE, NEVER, Opens, Space
from framegate_host.confinement import Confinement

LEADS_OUT = {
    "open",
    "openat",
    "openat2",
    "socket",
    "socketpair",
    "bind",
    "listen",
    "fork",
    "vfork",
    "clone",
    "clone3",
    "execve",
    "execveat",
    "kill",
    "tkill",
    "tgkill",
    "prlimit64",
    "prctl",
    "ioctl",
    "mmap",
    "mprotect",
    "pkey_mprotect",
    "memfd_create",
    "dup",
    "dup2",
    "dup3",
}
"""What no row allows whatever the arguments are."""


@pytest.mark.parametrize("name", CAGES)
def test_no_row_allows_what_leads_out(name):
    cage = CAGES[name]
    assert not cage.calls & (LEADS_OUT | NEVER)
    assert cage.foreign == (cage.space == Space.OWN_USER) == (not cage.calls)


def test_what_decodes_bytes_opens_nothing_and_starts_nothing():
    for name in ("inference", "capture-relay"):
        cage = CAGES[name]
        assert cage.calls == COMPUTE and cage.opens == Opens.NOTHING
        assert not (cage.threads or cage.connects or cage.links or cage.ioctl)


@pytest.mark.parametrize(
    ("layer", "close"),
    [
        ("_landlock", lambda c: c.close_paths()),
        ("_seccomp", lambda c: c.close_calls()),
    ],
)
@pytest.mark.parametrize(
    "error", [ImportError("no such module"), RuntimeError("Unable to find libseccomp")]
)
def test_a_layer_that_is_missing_refuses_or_is_told(layer, close, error):
    strict = Confinement(CAGES["inference"])
    setattr(strict, layer, error)
    with pytest.raises(Unavailable) as caught:
        close(strict)
    assert caught.value.reason == Reason.UNCONFINED and "inference" in str(caught.value)
    accepted = Confinement(CAGES["inference"], required=False)
    setattr(accepted, layer, error)
    close(accepted)
    assert accepted.lacking and accepted.isolation.startswith("lacks ")


THREADED = """
import threading
from framegate_host.cages import CAGES
from framegate_host.confinement import Confinement
threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    Confinement(CAGES["inference"]).close_paths()
except Exception as error:
    print(error)
"""


def test_a_child_with_threads_is_refused_because_they_would_keep_their_files():
    done = subprocess.run(
        [sys.executable, "-c", THREADED], capture_output=True, text=True, check=True, timeout=60
    )
    assert "2 threads" in done.stdout


MEMORY = """
import ctypes, os, sys
from framegate_host.process_memory import hide_memory, memory_shown
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
said = [dumpable()]
with memory_shown():
    said.append(dumpable())
said.append(dumpable())
hide_memory(); said.append(dumpable())
with memory_shown():
    with memory_shown():
        said.append(dumpable())
    said.append(dumpable())
    hide_memory(); said.append(dumpable())
said.append(dumpable())
print(said)
"""


def test_memory_is_shown_for_as_long_as_somebody_has_to_look():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[1, 1, 1, 0, 1, 1, 1, 0]"
