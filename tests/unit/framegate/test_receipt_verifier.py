"""Whatever is given as a receipt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.receipt_verifier import ReceiptRefused, verify_receipt

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
