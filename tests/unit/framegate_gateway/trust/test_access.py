"""Access decisions at a gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate_gateway.trust.access import AccessView
from framegate_simulators.fixtures.access import access_update, facts_text, signed_policy
from support.access import policy_files
from support.refusals import refused

CAM = "camera.line-1.cam1"


def test_decisions_are_made_anew_for_new_facts_and_a_new_policy(access_view, keys):
    access_view.apply(access_update(keys))
    assert access_view.inspect(CAM, facts_text(CAM), "ab", "line-1") == ("cameras-of-the-zone",)
    for facts in (facts_text(CAM, state="suspect"), facts_text(CAM, maintenance=True)):
        with pytest.raises(Refused):
            access_view.inspect(CAM, facts, "ab", "line-1")
    stop = '@id("stop") forbid (principal is Device, action == Action::"inspect", resource);'
    access_view.apply(access_update(keys, policy=signed_policy(keys, policy_files(stop=stop), 2)))
    assert (
        refused(lambda: access_view.inspect(CAM, facts_text(CAM), "ab", "line-1"))
        == Reason.POLICY_DENIED
    )


@pytest.mark.slow
@given(st.text(max_size=60))
def test_facts_that_are_anything_let_nothing_through(keys, text):
    seen = AccessView(None, lambda: keys.root.certificate)
    seen.apply(access_update(keys))
    with pytest.raises((FramegateError, ValueError, TypeError)):
        seen.inspect(CAM, text, "ab", "line-1")
