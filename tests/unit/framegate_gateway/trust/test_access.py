"""Access decisions at a gateway."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.approvals import content_digest
from framegate.access.caller import Caller
from framegate.access.verbs import parse_scoped
from framegate.errors import FramegateError, Reason, Refused
from framegate_gateway.trust.access import AccessView
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update, facts_text, signed_policy
from support.access import policy_files
from support.office import approval
from support.refusals import refused

CAM = "camera.line-1.cam1"
GATEWAY = "gateway.line-1.gw1"


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


def test_n119_an_approval_counts_once_over_restarts_too(keys, tmp_path):
    now_ms = time.time_ns() // 1_000_000
    people = [pb.OperatorTrust(name="sven")]

    def view() -> AccessView:
        begun = AccessView(tmp_path, lambda: keys.root.certificate)
        begun.apply(access_update(keys, people, quorum=2))
        return begun

    first = view()
    request = pb.ExportRequest(destination="quality", reason="claim 17")
    digest = content_digest(
        "frame.export", "ExportRequest", request.SerializeToString(deterministic=True)
    )
    request.approval = approval(
        keys,
        verb="frame.export",
        content_sha256=digest.hex(),
        requester="anna",
        approvers=("sven",),
        gateway=GATEWAY,
        zone="line-1",
        policy_sha256=first.policy.sha256.hex(),
        issued_at_ms=now_ms,
    )
    caller = Caller(
        name="anna",
        roles=(parse_scoped("security"),),
        session=b"",
        factor_ms=now_ms,
        break_glass=False,
        source="",
    )

    def asked(at: AccessView):
        where = {"zone": "line-1", "gateway": GATEWAY, "now_ms": now_ms}
        return at.authorise(caller, "frame.export", request, **where)

    assert asked(first).approved_by == ("sven",)
    for later in (first, view()):
        assert refused(lambda at=later: asked(at)) == Reason.APPROVAL_NEEDED
