"""Measurement lists, binary and in ASCII."""

import hashlib
import struct

import pytest

from framegate.errors import Malformed, Reason
from framegate.ima import cut_entries, looks_like_ima, parse_ima
from framegate.ima.replay import count_violations, running_values
from framegate.tpm.constants import Alg
from framegate_simulators.machine.ima import ImaMachine
from support.ima import ascii_line, digest_of


def test_cutting_a_list():
    machine = ImaMachine.booted({}, {b"/a": digest_of(b"a"), b"/b": digest_of(b"b")})
    whole = machine.list_from()
    for n in range(4):
        assert cut_entries(whole, n) == machine.list_from(n)
        assert cut_entries(whole, 0, n) == b"".join(machine.entries[:n])
    with pytest.raises(Malformed) as caught:
        cut_entries(whole, 4)
    assert caught.value.reason == Reason.IMA_OFFSET
    with pytest.raises(Malformed):
        cut_entries(whole[:-1], 1)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_ascii_lists_of_every_template(algorithm):
    digest, signature, appended = digest_of(b"x"), b"\3\2\4abcd", b"pkcs7"
    head, shown = b"sha256:\0" + digest, b"sha256:" + digest.hex().encode()
    lines = [
        ascii_line(b"ima-ng", [head, b"/a b\0"], [shown, b"/a b"], algorithm),
        ascii_line(
            b"ima-sig",
            [head, b"/s\0", signature],
            [shown, b"/s", signature.hex().encode()],
            algorithm,
        ),
        ascii_line(
            b"ima-sig", [head, b"/no signature\0", b""], [shown, b"/no signature", b""], algorithm
        ),
        ascii_line(
            b"ima-buf",
            [head, b"kexec-cmdline\0", b"ro quiet"],
            [shown, b"kexec-cmdline", b"ro quiet".hex().encode()],
            algorithm,
        ),
        ascii_line(
            b"ima-modsig",
            [head, b"/m\0", signature, head, appended],
            [shown, b"/m", signature.hex().encode(), shown, appended.hex().encode()],
            algorithm,
        ),
        ascii_line(b"d-ng|n-ng", [head, b"/custom\0"], [shown, b"/custom"], algorithm),
    ]
    measured = parse_ima(b"".join(lines))
    assert [e.path for e in measured.entries] == [
        b"/a b",
        b"/s",
        b"/no signature",
        b"kexec-cmdline",
        b"/m",
        b"/custom",
    ]
    assert [e.signature for e in measured.entries] == [
        b"",
        signature,
        b"",
        b"",
        signature,
        b"",
    ] and measured.entries[3].buffer == b"ro quiet"
    for line in lines:
        with pytest.raises(Malformed):
            parse_ima(line.replace(b"sha256:", b"sha256:00", 1))


HEAD, SHOWN = b"sha256:\0" + digest_of(b"x"), b"sha256:" + digest_of(b"x").hex().encode()


def test_ascii_lines_of_the_oldest_template_hash_their_padded_name():
    digest = hashlib.sha1(b"x", usedforsecurity=False).digest()
    whole = hashlib.sha1(digest + b"/old".ljust(256, b"\0"), usedforsecurity=False).hexdigest()
    line = b"10 %b ima %b /old\n" % (whole.encode(), digest.hex().encode())
    (entry,) = parse_ima(line).entries
    assert (entry.path, entry.digest, entry.algorithm) == (b"/old", digest, "sha1")
    with pytest.raises(Malformed, match=f"fields that hash to {whole}") as caught:
        parse_ima(line.replace(b"/old", b"/new"))
    assert caught.value.reason == Reason.IMA_MALFORMED
    (violation,) = parse_ima(line.replace(whole.encode(), b"0" * 40)).entries
    assert violation.violation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: b"10 " + b"ab" * 20 + b" ima-ng\n", "fields that hash to abab"),
        (lambda line: line.replace(b"10 ", b"ten ", 1), "another line behind it"),
        (lambda line: line.replace(b" /a", b""), "fields that hash to"),
        (lambda line: line.replace(b"10 ", b"99 ", 1), "a PCR below 24"),
        (lambda line: line.replace(b"ima-ng", b"ima-xx"), "a known template"),
        (lambda line: line.replace(b"/a", b"/b"), "a name with escapes: read the binary list"),
        (lambda line: line.replace(b" ima-ng", b"a ima-ng"), "another line behind it"),
    ],
)
def test_ascii_lines_that_are_none(change, message):
    good = ascii_line(b"ima-ng", [HEAD, b"/a\0"], [SHOWN, b"/a"])
    assert parse_ima(good).entries
    with pytest.raises(Malformed, match=message) as caught:
        parse_ima(good + change(good))
    assert caught.value.reason == Reason.IMA_MALFORMED


def test_a_template_hash_of_half_bytes_is_none():
    good = ascii_line(b"ima-ng", [HEAD, b"/a\0"], [SHOWN, b"/a"])
    with pytest.raises(Malformed, match="PCR, template hash, template, fields"):
        parse_ima(good.replace(b" ima-ng", b"a ima-ng"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([b"sha256" + bytes(32), b"/a\0"], "an algorithm and a digest"),
        ([b"sha9:\0" + bytes(32), b"/a\0"], "a known file hash of its width"),
        ([HEAD[:-1], b"/a\0"], "a known file hash of its width"),
        ([HEAD, b"/a"], "a name closed by its only NUL"),
        ([HEAD, b"/a\0b\0"], "a name closed by its only NUL"),
    ],
)
def test_fields_of_binary_entries_that_are_none(fields, message):
    body = b"".join(struct.pack("<I", len(f)) + f for f in fields)
    whole = hashlib.sha1(body, usedforsecurity=False).digest()
    raw = struct.pack("<I", 10) + whole + b"\6\0\0\0ima-ng" + struct.pack("<I", len(body)) + body
    with pytest.raises(Malformed, match=message) as caught:
        parse_ima(raw)
    assert caught.value.reason == Reason.IMA_MALFORMED


def test_names_too_long_for_the_oldest_template():
    digest = bytes(20)
    for name in (b"n" * 256, b"n" * 9):
        raw = struct.pack("<I", 10) + bytes(20) + b"\3\0\0\0ima" + digest
        raw += struct.pack("<I", 256 if len(name) == 256 else 99) + name
        wanted = "a name of less than 256 bytes" if len(name) == 256 else "a name of 99 bytes.*ends"
        with pytest.raises(Malformed, match=wanted):
            parse_ima(raw)


def test_kernels_that_extended_every_bank_with_padded_sha1():
    machine = ImaMachine.booted({}, {b"/a": digest_of(b"a")})
    machine.measure(b"/v", digest_of(b"v"), violation=True)
    measured = parse_ima(machine.list_from())
    start, values = bytes(32), []
    value = start
    for entry in measured.entries:
        short = hashlib.sha1(entry.data, usedforsecurity=False).digest()
        value = digest_of(value + (b"\xff" * 32 if entry.violation else short.ljust(32, b"\0")))
        values.append(value)
    assert running_values(measured, Alg.SHA256, start, padded_sha1=True) == [start, *values]
    assert count_violations(measured.entries) == 1


def as_windows_writes(raw: bytes, how: str) -> bytes:
    """Text as tools of Windows leave it behind."""
    codec, ends = how.split(" ")
    text = raw.decode().replace("\n", {"cr-lf": "\r\n", "lf": "\n"}[ends])
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(codec, "")
    return (mark + text).encode(codec)


@pytest.mark.parametrize(
    "how",
    [f"{c} {e}" for c in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be") for e in ("lf", "cr-lf")],
)
def test_lists_that_windows_tools_wrote(how):
    head, shown = b"sha256:\0" + digest_of(b"x"), b"sha256:" + digest_of(b"x").hex().encode()
    plain = b"".join(
        ascii_line(b"ima-ng", [head, name + b"\0"], [shown, name], "sha256")
        for name in (b"/a", b"/usr/lib/b.so")
    )
    assert parse_ima(as_windows_writes(plain, how)).entries == parse_ima(plain).entries
    assert looks_like_ima(as_windows_writes(plain, how))
    edited = plain.replace(b"/a", b"/b")
    with pytest.raises(Malformed, match="fields that hash to"):
        parse_ima(as_windows_writes(edited, how))


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe", b"\xff\xfe1", b"\xfe\xff\xd8\0", b"\xff\xfe" + "no list".encode("utf-16-le")],
    ids=["mark-alone", "half-a-letter", "half-a-pair", "words"],
)
def test_byte_order_marks_before_no_list(raw):
    with pytest.raises(Malformed) as caught:
        parse_ima(raw)
    assert caught.value.reason == Reason.IMA_MALFORMED
    assert not looks_like_ima(raw)


def machine_lists():
    machine = ImaMachine.booted({}, {b"/a": digest_of(b"a"), b"/b": digest_of(b"b")})
    digest = digest_of(b"x")
    shown = [b"sha256:" + digest.hex().encode(), b"/opt/x"]
    line = ascii_line(b"ima-ng", [b"sha256:\0" + digest, b"/opt/x\0"], shown, "sha256")
    return machine.list_from(), line + line


def test_a_list_that_was_cut_off_is_told_as_that():
    binary, lines = machine_lists()
    first = len(binary) - len(cut_entries(binary, 1))
    ends = {len(binary) - len(cut_entries(binary, n)) for n in range(4)}
    for size in range(first + 1, len(binary)):
        if not any(0 <= size - end <= 4 for end in ends):  # a PCR alone looks like padding
            with pytest.raises(Malformed, match="the file ends within this entry"):
                parse_ima(binary[:size])
    for size in range(len(lines) // 2 + 60, len(lines) - 1):
        with pytest.raises(Malformed, match="the file ends within this entry"):
            parse_ima(lines[:size])


def test_a_lie_within_a_list_is_not_called_a_cut():
    binary, lines = machine_lists()
    for data in (
        binary[:200] + bytes([binary[200] ^ 1]) + binary[201:],
        lines.replace(b"/opt/x", b"/opt/y", 1),
        lines.replace(b"/opt/x", b"/opt/y"),
        lines + b"what is this\n",
    ):
        with pytest.raises(Malformed) as caught:
            parse_ima(data)
        assert "ends within" not in str(caught.value)


@pytest.mark.parametrize("before", [b"\n", b"\r\n", b"\n\n\r\n"])
def test_empty_lines_before_a_list_say_nothing(before):
    lines = machine_lists()[1]
    assert looks_like_ima(before + lines)
    assert list(parse_ima(before + lines).entries) == list(parse_ima(lines).entries)
    assert list(parse_ima(lines.replace(b"\n", before)).entries) == list(parse_ima(lines).entries)
