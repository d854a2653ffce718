"""A gateway that lies does what its lie says, and what it did is in its receipts."""

import pytest

from framegate.receipt_verifier import ReceiptRefused, missing_frames, verify_receipt
from framegate_simulators.attack.adversary import LIES, LyingMaker


async def lie_told(desk, lie: str) -> list[dict]:
    """Receipts of six frames more, by a gateway that tells `lie`."""
    desk.maker.__class__ = LyingMaker
    desk.maker.lie = lie
    for number in range(5, 11):
        assert await desk.frame(number), "each frame has its answer"
    desk.sign()
    await desk.head()
    desk.log()
    return desk.receipts()


async def test_a_dropped_receipt_is_missing_and_the_rest_hold(receipts_desk):
    receipts = [receipts_desk.check(r) for r in await lie_told(receipts_desk, "drop")]
    assert len(receipts) == 9
    (counters,) = missing_frames(receipts).values()
    assert counters == (7, 10), "every third of the six"


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie != "drop"])
async def test_an_altered_or_invented_frame_has_no_place_under_the_cameras_head(receipts_desk, lie):
    refused = []
    for receipt in await lie_told(receipts_desk, lie):
        try:
            verify_receipt(receipt, receipts_desk.fleet.root.pem, need_camera=True)
        except ReceiptRefused as error:
            refused.append(error.check)
    assert len(refused) == 6 and set(refused) <= {"camera-path", "camera-head"}, refused
