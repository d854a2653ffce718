"""The allocator of daemons gives large blocks back."""

import platform
import subprocess
import sys

import pytest

from framegate_host import allocator

_FREED = """
import ctypes, os, sys
from framegate_host.allocator import LARGE_BYTES, settle_allocator
if sys.argv[1] == "settled":
    assert settle_allocator()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size, pages = 4 * LARGE_BYTES, os.sysconf("SC_PAGE_SIZE")
# a free of so much raises glibc's own threshold, which it does up to 32 MiB; what is smaller may
# come from what was freed before
libc.free(ctypes.c_void_p(libc.malloc(31 << 20)))
# nor may what stays lie where imports left room: these fill it, as if no module were compiled anew
for _ in range(200_000):
    libc.malloc(64)
blocks = [0] * 400
for each in range(len(blocks)):
    blocks[each] = libc.malloc(size)
    ctypes.memset(blocks[each], 1, size)
    libc.malloc(64)  # what stays lies between them
for block in blocks:
    libc.free(block)
print(int(open("/proc/self/statm").read().split()[1]) * pages // 1024)
"""


def resident_kib(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _FREED, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_freed_between_what_stays_goes_back_to_the_kernel():
    assert resident_kib("settled") + 50_000 < resident_kib("as it is")


def test_a_library_without_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: object())
    assert not allocator.settle_allocator()


def test_a_setting_that_is_refused_is_told(monkeypatch):
    library = type("Library", (), {"mallopt": staticmethod(lambda _name, _value: 0)})
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: library)
    assert not allocator.settle_allocator()
