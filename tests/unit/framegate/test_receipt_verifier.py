"""Whatever is given as a receipt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.receipt_verifier import MAX_PATH, ReceiptRefused, root_from_path, verify_receipt

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_receipts_that_are_anything(value):
    with pytest.raises(ReceiptRefused):
        verify_receipt(value, b"not read")
    if isinstance(value, dict):
        for name in ("leaf", "verdict", "batch", "authorities", "camera", "log"):
            with pytest.raises(ReceiptRefused):
                verify_receipt({"format": "framegate-receipt-1", name: value}, b"")


def test_places_and_paths_that_do_not_fit():
    leaf = bytes(32)
    for index, size, path in (
        (5, 3, []),
        (-1, 3, []),
        (0, 1, [leaf]),
        (0, 2, []),
        (0, 2, [b"short"]),
        (0, 2, [leaf] * (MAX_PATH + 1)),
    ):
        with pytest.raises(ValueError, match=r"path|leaf"):
            root_from_path(leaf, index, size, path)
