"""The status of a result."""

import pytest

from framegate.evidence.ear import ear_status


@pytest.mark.parametrize(
    ("vector", "status"),
    [
        ({}, "none"),
        ({"a": 0}, "none"),
        ({"a": 2}, "affirming"),
        ({"a": 2, "b": 32}, "warning"),
        ({"a": 32, "b": 96}, "contraindicated"),
    ],
)
def test_the_worst_claim_is_the_status(vector, status):
    assert ear_status(vector) == status
