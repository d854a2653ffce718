"""Statements of approval and what they are approvals of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.approvals import content_digest
from framegate.access.verbs import Scoped, parse_scoped
from framegate.errors import FramegateError, Malformed
from framegate.machines.request import RequestKind
from framegate.registry.request import REVIEW_TARGET, AccessRequest
from support.office import approval, checked


def test_an_approval_that_counts(keys):
    assert checked(keys, approval(keys)).approvers == ("sven",)


@given(st.binary(max_size=300))
def test_approvals_that_are_anything(keys, data):
    with pytest.raises(FramegateError):
        checked(keys, data)


@given(
    st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=16)),
    st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=16)),
)
def test_digests_of_what_is_approved_do_not_run_together(first, second):
    assert (content_digest(*first) == content_digest(*second)) == (first == second)


@given(st.text(max_size=30))
def test_scoped_roles_that_are_anything(text):
    try:
        scoped = parse_scoped(text)
    except Malformed:
        return
    assert parse_scoped(str(scoped)) == scoped and isinstance(scoped, Scoped)


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        (RequestKind.ROLE, "role:admin"),
        (RequestKind.ACT, "profile.import"),
        (RequestKind.REVIEW, REVIEW_TARGET),
    ],
)
def test_what_an_approver_is_asked(kind, about):
    asked = AccessRequest(
        id="1",
        kind=kind,
        requester="erik",
        zone="*",
        summary="s",
        reason="r",
        verb="profile.import",
        role="admin",
    )
    assert asked.about == about
