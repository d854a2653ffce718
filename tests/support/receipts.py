"""A gateway's receipts from frame to proof, as tests look at them."""

import pytest

from framegate.payload.series.form import ENCODING_SERIES
from framegate.receipt_verifier import ReceiptRefused, verify_receipt
from framegate.wire import Captured
from framegate_gateway.inference.inspection import Inspection
from framegate_simulators.fixtures import receipts_desk as simulated
from framegate_simulators.vibration.sensor import golden


class ReceiptsDesk(simulated.ReceiptsDesk):
    """The same, with what a receipt verifier says of what comes of it."""

    def check(self, receipt, **how):
        return verify_receipt(receipt, self.fleet.root.pem, **how)

    def refused(self, receipt, **how) -> str:
        with pytest.raises(ReceiptRefused) as caught:
            self.check(receipt, **how)
        return caught.value.check


@pytest.fixture
async def receipts_desk(keys, tmp_path):
    """A gateway with a camera, a model and an empty receipt store."""
    desk = ReceiptsDesk(keys, tmp_path / "desk")
    for number in range(5):
        await desk.frame(number)
        if number == 2:
            desk.sign()
    yield desk
    desk.store.close()


async def proved(receipts_desk):
    receipts_desk.sign()
    await receipts_desk.head()
    receipts_desk.log()
    return receipts_desk.receipts()


def head_of(desk, encoding: int, width: int, height: int) -> Captured:
    """What a source says of something that it measured at this moment."""
    return Captured(
        part="m1",
        part_type="motor-1",
        trigger_sequence=50,
        captured_at_ms=desk.view.now_ms(),
        uncertainty_ms=1,
        encoding=encoding,
        width=width,
        height=height,
        mask_version=0,
        mask_sha256=b"",
        size=1,
    )


async def series_receipt(desk):
    """The receipt of a window that the desk's camera sealed."""
    return await payload_receipt(desk, head_of(desk, ENCODING_SERIES, 4096, 3), golden(1))


async def payload_receipt(desk, head: Captured, data: bytes):
    """The receipt of what the desk's camera sealed."""
    sealed = desk.session.seal(head, data)
    admitted = desk.link.admit(desk.link.open_frame(sealed.metadata, sealed.sealed))
    await desk.maker.inspected(admitted, Inspection((), "aa", 100), 1.0)
    desk.session.owed.answered(admitted.counter)
    return (await proved(desk))[0]  # the newest first
