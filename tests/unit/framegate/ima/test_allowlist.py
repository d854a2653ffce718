"""Allowlists as text, and the limits of lists."""

import pytest

from framegate.errors import Malformed, Reason
from framegate.ima import parse_ima
from framegate.ima.allowlist import ANYWHERE, HEADER, AllowedFile, allowlist_text, parse_allowlist
from framegate_simulators.machine.ima import ImaMachine
from support.ima import ascii_line, digest_of


def test_limits_of_lists_and_allowlists(monkeypatch):
    import framegate.ima.allowlist as allowlists
    from framegate.ima import ascii_list, binary_list

    machine = ImaMachine()
    for n in range(5):
        machine.measure(b"/%d" % n, digest_of(b"x"))
    for form in (ascii_list, binary_list):
        monkeypatch.setattr(form, "MAX_IMA_ENTRIES", 4)
    for data in (
        machine.list_from(),
        ascii_line(
            b"ima-ng",
            [b"sha256:\0" + digest_of(b"x"), b"/a\0"],
            [b"sha256:" + digest_of(b"x").hex().encode(), b"/a"],
        )
        * 5,
    ):
        with pytest.raises(Malformed) as caught:
            parse_ima(data)
        assert caught.value.reason == Reason.TOO_LARGE
    monkeypatch.setattr(allowlists, "MAX_ALLOWLIST_BYTES", 10)
    with pytest.raises(Malformed) as caught:
        parse_allowlist(HEADER.encode())
    assert caught.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        HEADER + "\nsha256:00  /x",
        HEADER + "\nmd5:" + "0" * 32 + "  /x",
        HEADER + "\n" + "0" * 64 + "  /x",
        HEADER + "\nsha256:" + "0" * 64 + " /x",
        HEADER + "\nsha256:" + "0" * 64 + "  ",
    ],
)
def test_allowlists_that_are_none(text):
    with pytest.raises(Malformed) as caught:
        parse_allowlist(text.encode())
    assert caught.value.reason == Reason.ALLOWLIST


def test_files_allowed_anywhere_are_listed_beside_those_of_a_place():
    files = {
        AllowedFile("sha256", digest_of(b"a"), b"/a b"),
        AllowedFile("sha256", digest_of(b"b"), ANYWHERE),
    }
    listed = parse_allowlist(allowlist_text(files))
    assert set(listed.files()) == files and listed.size == 2
    assert listed.known(b"/a b") == [f"sha256:{digest_of(b'a').hex()}"]
    assert listed.known(b"/elsewhere") == []


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "ascii"])
def test_a_list_that_an_editor_rewrote_is_told_so(codec):
    """Its digest is over its bytes: read in another encoding it would be another list."""
    written = f"{HEADER}\r\nsha256:{'00' * 32}  /x\r\n".encode(codec)
    with pytest.raises(Malformed, match="an editor wrote it in another way"):
        parse_allowlist(written)
