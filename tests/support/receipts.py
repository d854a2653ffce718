"""A gateway's receipts from frame to proof, without a network."""

from pathlib import Path

import pytest

from framegate.payload.series.form import ENCODING_SERIES
from framegate.receipt_verifier import ReceiptRefused, verify_receipt
from framegate.record.entry import entry_bytes
from framegate.record.merkle import data_tree
from framegate.signed.receipt import Checkpoint, ReceiptBatch, b64, log_body
from framegate.wire import Captured
from framegate_agent.camera.heads import sign_owed
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.batch_rows import stored_batches
from framegate_gateway.receipts.batches import sign_one
from framegate_gateway.receipts.read import Wanted, receipts
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted
from framegate_simulators.vibration.sensor import golden


class ReceiptsDesk:
    """A gateway's receipts from frame to proof, without a network."""

    def __init__(self, fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        folder.mkdir(exist_ok=True)
        self.camera = SoftwareCamera(folder, fleet)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
        self.keys, self.view = warranted(fleet, self.camera.certificate, self.models.bundle.digest)
        self.link = CameraLink(self.camera.certificate, self.keys, self.view)
        self.session = self.camera.session(self.link.offer(), self.keys.newest.publics)
        signed = self.session.opening(self.camera)
        self.link.open(signed.opening, signed.signature)
        self.open()
        self.store.opened(
            self.link.opened, CAMERA, self.link.session_certificate(), self.view.now_ms()
        )

    def open(self) -> None:
        self.store = ReceiptStore(self.folder / "state")
        self.maker = VerdictMaker(self.keys, self.view, self.models, Journal(), None, self.store)

    async def frame(self, number: int, *, answer: bool = True) -> bytes:
        head = Captured(
            part=f"p{number}",
            part_type="t",
            trigger_sequence=number,
            captured_at_ms=1,
            uncertainty_ms=1,
            encoding=1,
            width=640,
            height=640,
            mask_version=0,
            mask_sha256=b"",
            size=9,
        )
        sealed = self.session.seal(head, b"image %d" % number)
        self.admitted = self.link.admit(self.link.open_frame(sealed.metadata, sealed.sealed))
        envelope = await self.maker.inspected(self.admitted, Inspection((), "aa", 100), 1.0)
        if answer:
            self.session.owed.answered(self.admitted.counter)
        return envelope

    async def head(self) -> None:
        signed = sign_owed(self.session.owed, self.camera, self.view.now_ms())
        taken = self.link.head(signed.head, signed.signature, signed.leaves)
        await self.store.take_head(taken.session, CAMERA, taken.head, taken.signature, taken.tree)

    def sign(self) -> None:
        while sign_one(self.store, self.keys, self.view.now_ms):
            pass

    def log(self) -> None:
        with self.store.reading() as connection:
            rows = list(stored_batches(connection, "ORDER BY batches.number"))
        entries = [
            entry_bytes(
                n,
                None,
                log_body(ReceiptBatch.parse_payload(b.payload), b.payload, self.view.now_ms()),
            )
            for n, b in enumerate(rows)
        ]
        tree, signer = data_tree(entries), self.fleet.signing["log"]
        head = Checkpoint("plant", len(entries), tree.root.hex(), self.view.now_ms()).seal(
            signer.der, signer.sign
        )
        for index, batch in enumerate(rows):
            proof = {
                "entry": b64(entries[index]),
                "index": index,
                "path": [b64(p) for p in tree.path(index)],
                "checkpoint": b64(head),
            }
            self.store.add_log(batch.number, proof)

    def receipts(self, **wanted):
        authorities = [k.der for k in self.fleet.issuing.values()]
        return list(
            receipts(self.store, Wanted(**{"camera": CAMERA, "limit": 1000, **wanted}), authorities)
        )

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
