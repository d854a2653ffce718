"""A camera's demands on its gateway."""

import time

import pytest

from framegate.errors import Reason, Refused
from framegate_agent.camera.session import AskedGrant, Demands, hold_grant
from support.frames import CAMERA


@pytest.mark.parametrize(
    ("demands", "changes", "reason"),
    [
        (Demands(models=frozenset({"aa"})), {"model_sha256": "bb"}, Reason.MODEL),
        (Demands(hosts=frozenset({"gateway.line-1.gw2"})), {}, Reason.GRANT),
        (Demands(), {"zone": "line-2"}, Reason.GRANT),
        (Demands(), {"host": "gateway.line-2.gw1"}, Reason.GRANT),
        (Demands(), {"host": "camera.line-1.cam2"}, Reason.GRANT),
    ],
)
def test_a_camera_refuses_a_gateway_that_is_not_the_approved_one_and_says_why(
    door, demands, changes, reason
):
    authorities = tuple(k.certificate for k in door.fleet.issuing.values())
    with pytest.raises(Refused) as caught:
        hold_grant(
            door.grant(**changes),
            AskedGrant(CAMERA, b"n" * 32, time.monotonic(), demands),
            authorities,
            door.fleet.root.certificate,
            time.time_ns() // 1_000_000,
        )
    assert caught.value.reason == reason and caught.value.failures[0].hint
