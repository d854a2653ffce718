"""An export of the record, verified by whoever holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.record.verify import AuditRefused, LogAnchor, load_anchor, verify_log
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
