"""Which segment is meant, and that a policy may have none."""

import pytest

from framegate.errors import Reason, Refused
from framegate.segment.cases import chosen_segment


def test_a_policy_without_segments_says_so():
    with pytest.raises(Refused, match="a policy with segments") as caught:
        chosen_segment({}, "")
    assert caught.value.reason == Reason.NOT_FOUND
    with pytest.raises(Refused):
        chosen_segment({}, "line-1")
