"""Code that only a start needed is given back, and nothing that the process wrote."""

import subprocess
import sys

from framegate_host import mapped_text
from framegate_host.mapped_text import LibraryText, Mapping, let_go_of_text, unwritten_text

HEAD = "{begin:012x}-{end:012x} {rights} 00000000 08:01 77                      {file}\n"
DETAILS = "Size: 8 kB\nRss: 8 kB\nAnonymous: {own} kB\nVmFlags: rd ex mr\n"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libexample.so.1"


def pages(rights="r-xp", file=LIBRARY, own="0", begin=0x7F0000000000) -> str:
    head = HEAD.format(begin=begin, end=begin + 0x2000, rights=rights, file=file)
    return head + DETAILS.format(own=own)


def test_code_and_constants_of_files_are_given_back():
    both = pages() + pages("r--p", begin=0x7F0000002000)
    assert list(unwritten_text(both.splitlines())) == [
        Mapping(0x7F0000000000, 0x2000),
        Mapping(0x7F0000002000, 0x2000),
    ]


def test_what_would_be_lost_is_not():
    """Relocated tables, data, shared and anonymous memory, what is no file or one that is gone."""
    kept = [
        pages(own="4"),
        pages("r--p", own="8"),
        *(pages(rights) for rights in ("rw-p", "rwxp", "r-xs", "---p")),
        pages(file="[vdso]"),
        pages(file=""),
        pages(file=f"{LIBRARY} (deleted)"),
    ]
    for text in (*kept, "".join(kept)):
        assert list(unwritten_text(text.splitlines())) == []
    # and what follows one that is kept is no part of it
    after = "".join(kept) + pages(begin=0x7F00000A0000)
    assert list(unwritten_text(after.splitlines())) == [Mapping(0x7F00000A0000, 0x2000)]


def test_a_program_goes_on_as_it_was_with_less_of_it_resident():
    """In a process of its own: libraries that were used are used again afterwards."""
    work = """
import hashlib, json, ssl, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import hashes
from framegate_host.mapped_text import let_go_of_text
def of_files():
    return int(Path("/proc/self/status").read_text().partition("RssFile:")[2].split()[0])
key = ec.generate_private_key(ec.SECP256R1())
before = of_files()
assert let_go_of_text() > 1_000_000
after = of_files()
for _ in range(3):
    signed = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signed, b"x", ec.ECDSA(hashes.SHA256()))
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0") and json.loads("[1]") == [1]
    ssl.create_default_context()
print(before, after)
"""
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 0.7 * before, done.stdout


def test_where_the_kernel_says_nothing_nothing_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(mapped_text, "_PAGES", tmp_path / "smaps")
    assert let_go_of_text() == 0 and LibraryText().let_go() == 0
    monkeypatch.setattr(mapped_text.ctypes, "CDLL", lambda _name: object())
    assert let_go_of_text() == 0


def test_while_a_program_runs_a_mapping_is_given_back_that_stood_before(monkeypatch, tmp_path):
    """What a loader maps just now is one mapping at first, and others over it a moment later."""
    given, smaps, text = [], tmp_path / "smaps", LibraryText()
    monkeypatch.setattr(mapped_text, "_PAGES", smaps)
    monkeypatch.setattr(
        mapped_text, "_given_back", lambda known: len([*map(given.append, sorted(known))])
    )
    stands, whole = pages(), pages("r--p", begin=0x7F0000010000)
    smaps.write_text(stands + whole)
    text.let_go()
    assert given == []
    part = HEAD.format(begin=0x7F0000010000, end=0x7F0000011000, rights="r--p", file=LIBRARY)
    smaps.write_text(stands + part + DETAILS.format(own="0"))
    text.let_go()
    assert given == [Mapping(0x7F0000000000, 0x2000)]
    # what somebody wrote to meanwhile is not given back, and stands anew before it is
    given.clear()
    smaps.write_text(pages(own="4"))
    text.let_go()
    smaps.write_text(stands)
    text.let_go()
    assert given == []
    text.let_go()
    assert given == [Mapping(0x7F0000000000, 0x2000)]
