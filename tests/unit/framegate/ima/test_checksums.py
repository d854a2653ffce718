"""Checksum files in every form that coreutils write, and what is none."""

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.checksums import parse_checksums
from framegate.ima.template import kernel_name

H = {a: hashlib.new(a, b"x").digest() for a in ("sha256", "sha384", "sha512")}
names = st.binary(min_size=1, max_size=30).filter(lambda n: b"\0" not in n)


def escaped(name: bytes) -> tuple[bytes, bytes]:
    """As coreutils 9 does: a backslash before the line, and the name with escapes."""
    text = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if text != name else b""), text


@given(names, st.sampled_from(sorted(H)), st.sampled_from(["  ", " *", "tag", "openssl", "base64"]))
def test_every_form_of_a_line(name, algorithm, form):
    digest, (mark, text) = H[algorithm], escaped(b"/" + name)
    shown = base64.b64encode(digest) if form == "base64" else digest.hex().encode()
    if form in {"tag", "base64"}:
        line = mark + algorithm.upper().encode() + b" (" + text + b") = " + shown
    elif form == "openssl":
        line = mark + b"SHA2-" + algorithm[3:].encode() + b"(" + text + b")= " + shown
    else:
        line = mark + shown + form.encode() + text
    wanted = [AllowedFile(algorithm, digest, kernel_name(b"/" + name))]
    for ending in (b"", b"\n", b"\r\n", b"\n\n"):
        assert parse_checksums(line + ending) == wanted
    assert parse_checksums(line + b"\n# words\n" + line + b"\n") == wanted * 2


@given(names, st.sampled_from(sorted(H)))
def test_lines_that_end_in_nul_escape_nothing(name, algorithm):
    digest = H[algorithm]
    raw = digest.hex().encode() + b"  /" + name + b"\0"
    assert parse_checksums(raw) == [AllowedFile(algorithm, digest, kernel_name(b"/" + name))]


def test_roots_of_fsverity_are_no_hashes_of_a_file():
    """fsverity digest, fsverity measure."""
    roots = {a: H[a] for a in ("sha256", "sha512")}
    raw = b"".join(f"{a}:{d.hex()} /opt/a b\n".encode() for a, d in roots.items())
    wanted = [AllowedFile(f"verity:{a}", d, b"/opt/a_b") for a, d in roots.items()]
    assert parse_checksums(b"\xef\xbb\xbf" + raw) == wanted
    allowed = parse_allowlist(allowlist_text(parse_checksums(raw)))
    assert not allowed.allows("sha256", H["sha256"], b"/opt/a_b")


@given(st.lists(names, min_size=1, max_size=5))
def test_an_allowlist_of_them_reads_back(paths):
    raw = b"".join(H["sha256"].hex().encode() + b"  /" + p + b"\0" for p in paths)
    files = parse_checksums(raw)
    assert set(parse_allowlist(allowlist_text(files)).files()) == set(files)


@pytest.mark.parametrize(
    "raw",
    [
        b"xyz  /a\n",
        b"00" * 20 + b"  /sha1\n",
        b"00" * 32 + b"\n",
        b"00" * 32 + b"  \n",
        b"00" * 31 + b"0  /a\n",
        b"\\" + b"00" * 32 + b"  /bad\\x\n",
        b"\\" + b"00" * 32 + b"  /ends\\\n",
        b"\\" + b"00" * 32 + b"  /nul\\n\0",
        b"SHA512/256 (/a) = " + b"00" * 32,
        b"SHA256 (/a) = " + b"00" * 31,
        b"MD5 (/a) = " + b"00" * 16,
        b"BLAKE2b (/a) = " + b"00" * 64,
        b"SHA256 () = " + b"00" * 32,
        b"SHA256 (/a) = " + b"=" * 44,
        b"sha256:" + b"00" * 31 + b" /a\n",
        b"sha384:" + b"00" * 48 + b" /a\n",
        b"sha256:" + b"00" * 32 + b"\n",
    ],
)
def test_lines_that_are_none(raw):
    with pytest.raises(Malformed):
        parse_checksums(raw)


@given(st.binary(max_size=200))
def test_only_our_errors(data):
    with contextlib.suppress(Malformed):
        parse_checksums(data)


ODD = ["plain", "with space", "back\\slash", "new\nline", "ret\rurn", "*star", "(paren) = x", "ünï"]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
@pytest.mark.parametrize("flags", [(), ("-b",), ("--tag",), ("--zero",), ("--tag", "--zero")])
@pytest.mark.parametrize("program", ["sha256sum", "sha384sum", "sha512sum"])
def test_what_the_programs_write(tmp_path: Path, program, flags):
    for name in ODD:
        (tmp_path / name).write_text(name)
    paths = [str(tmp_path / name) for name in ODD]
    out = subprocess.run([program, *flags, *paths], capture_output=True, check=True).stdout
    algorithm = program.removesuffix("sum")
    assert parse_checksums(out) == [
        AllowedFile(
            algorithm,
            hashlib.new(algorithm, Path(p).read_bytes()).digest(),
            kernel_name(os.fsencode(p)),
        )
        for p in paths
    ]


def test_a_list_that_windows_tools_wrote_is_read():
    line = "ab" * 32 + "  /usr/bin/x\n"
    for codec in ("utf-16", "utf-8-sig"):
        (listed,) = parse_checksums(line.encode(codec))
        assert (listed.algorithm, listed.path) == ("sha256", b"/usr/bin/x")


def test_n65_a_line_of_an_allowlist_is_no_root_over_a_file():
    with pytest.raises(Malformed):
        parse_checksums(b"sha256:" + b"ab" * 32 + b"  /usr/bin/x\n")
