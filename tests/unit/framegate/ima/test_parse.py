"""Measurement lists, binary and in ASCII."""

import pytest

from framegate.errors import Malformed, Reason
from framegate.ima import cut_entries, parse_ima
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
