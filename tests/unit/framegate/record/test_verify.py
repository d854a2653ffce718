"""An export of the record, verified by whoever holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.record.entry import MAX_ENTRY_BYTES
from framegate.record.verify import AuditRefused, LogAnchor, consistent, load_anchor, verify_log
from framegate.record.witness import head_line


def test_a_whole_log_verifies_with_the_root_or_with_the_bare_key(signed_log, keys):
    done = verify_log(signed_log.export(), signed_log.anchor)
    assert (done.fleet, done.entries, done.signed, done.heads) == ("plant", 33, 33, 3)
    assert (
        verify_log(signed_log.export(), LogAnchor(key=keys.signing["log"].key.public_key())).entries
        == 33
    )
    assert (
        verify_log(
            [line + b"\n" for line in signed_log.export()],
            signed_log.anchor,
            [head_line(signed_log.heads[0])],
        ).witnessed
        == 7
    )


@given(
    st.lists(
        st.binary(max_size=120)
        | st.sampled_from([b"{}", b'{"checkpoint":{}}', b'{"index":0,"previous":""}', b"[" * 5000]),
        max_size=6,
    )
)
def test_exports_that_are_anything_are_refused(signed_log, lines):
    with pytest.raises(AuditRefused):
        verify_log(lines, signed_log.anchor)
    with pytest.raises(AuditRefused):
        verify_log([signed_log.export()[0], *lines], signed_log.anchor)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"junk",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_anchors_that_are_none(pem):
    with pytest.raises(AuditRefused):
        load_anchor(pem)


def test_anchors_of_another_kind(keys):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(AuditRefused, match="an EC public key") as caught:
        load_anchor(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert caught.value.check == "format"
    bare = keys.signing["log"].key.public_key()
    anchor = load_anchor(bare.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert anchor == LogAnchor(key=bare)
    assert load_anchor(keys.root.pem) == LogAnchor(root=keys.root.certificate)


def test_sizes_that_are_no_growth():
    one, two = b"1" * 32, b"2" * 32
    assert consistent(3, one, 3, one, []) and not consistent(3, one, 3, two, [])
    assert not consistent(3, one, 3, one, [two])
    assert consistent(0, one, 5, two, []) and not consistent(5, one, 3, two, [])
    assert not consistent(3, one, 5, two, [])


def test_lines_that_are_no_entries(signed_log):
    good = signed_log.export()
    for line in (b"[]", b"3", b"{" * 100_000, b"x" * (MAX_ENTRY_BYTES + 1)):
        with pytest.raises(AuditRefused):
            verify_log([good[0], line, *good[2:]], signed_log.anchor)


def test_a_first_line_that_is_no_object(signed_log):
    for line in (b"[]", b"null", b"3"):
        with pytest.raises(AuditRefused, match="a JSON object") as caught:
            verify_log([line], signed_log.anchor)
        assert caught.value.check == "format"
