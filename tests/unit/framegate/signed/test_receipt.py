"""Leaves of a gateway's receipts."""

import json

import pytest

from framegate.errors import Malformed, Reason
from framegate.signed.receipt import EAT_PROFILE, event_leaf, parse_leaf


def test_the_leaf_of_something_that_is_no_verdict():
    leaf = event_leaf(7, "id", "gateway.z.g", 5, "export", "operator.anna", {"frame": "f"})
    claims = parse_leaf(leaf)
    assert (claims["kind"], claims["iss"], claims["cti"]) == ("event", "gateway.z.g", "id")
    assert (claims["sequence_number"], claims["iat_ms"]) == (7, 5)
    assert claims["fg"] == {"event": "export", "actor": "operator.anna", "frame": "f"}
    assert leaf == json.dumps(claims, sort_keys=True, separators=(",", ":")).encode(), "canonical"


@pytest.mark.parametrize("leaf", [b"[]", b"{}", b'{"eat_profile": "another"}', b"null"])
def test_leaves_that_are_none(leaf):
    with pytest.raises(Malformed, match=f"a leaf of {EAT_PROFILE}") as caught:
        parse_leaf(leaf)
    assert caught.value.reason == Reason.RECEIPT
