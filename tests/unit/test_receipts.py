"""N110, N120 and the lying gateway: what a receipt proves, and that nothing else passes for one."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import framegate.receipt_verifier as verifier
from framegate.errors import FramegateError, Reason
from framegate.receipt_verifier import ReceiptRefused, missing_frames, verify_receipt
from framegate.record.entry import entry_bytes
from framegate.record.merkle import data_tree
from framegate.signed.receipt import Checkpoint, ReceiptBatch, b64, log_body
from framegate.signed.statement import verify_verdict
from framegate.wire import Captured
from framegate_agent.camera.heads import HeadSpool, sign_owed
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.receipts.batches import sign_one
from framegate_gateway.receipts.read import Wanted, find, receipts
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted


class Desk:
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
        self.store.opened(self.link.opened, CAMERA, self.link.session_certificate(), self.view.now_ms())

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
        self.admitted = self.link.admit(sealed.metadata, sealed.sealed)
        envelope = await self.maker.inspected(self.admitted, Inspection((), "aa"), 1.0)
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
            rows = connection.execute("SELECT number, payload FROM batches ORDER BY number").fetchall()
        entries = [entry_bytes(n, None, log_body(ReceiptBatch.parse_payload(p), p, self.view.now_ms())) for n, (_, p) in enumerate(rows)]
        tree, signer = data_tree(entries), self.fleet.signing["log"]
        head = Checkpoint("plant", len(entries), tree.root.hex(), self.view.now_ms()).seal(signer.der, signer.sign)
        for index, (number, _) in enumerate(rows):
            proof = {"entry": b64(entries[index]), "index": index, "path": [b64(p) for p in tree.path(index)], "checkpoint": b64(head)}
            self.store.add_log(number, json.dumps(proof))

    def receipts(self, **wanted):
        authorities = [k.der for k in self.fleet.issuing.values()]
        return list(receipts(self.store, Wanted(**{"camera": CAMERA, "limit": 1000, **wanted}), authorities))

    def check(self, receipt, **how):
        return verify_receipt(receipt, self.fleet.root.pem, **how)

    def refused(self, receipt, **how) -> str:
        with pytest.raises(ReceiptRefused) as caught:
            self.check(receipt, **how)
        return caught.value.check


@pytest.fixture
async def desk(keys, tmp_path):
    made = Desk(keys, tmp_path / "desk")
    for number in range(5):
        await made.frame(number)
        if number == 2:
            made.sign()
    yield made
    made.store.close()


async def proved(desk):
    desk.sign()
    await desk.head()
    desk.log()
    return desk.receipts()


async def test_receipts_hold_and_resolve_to_what_stands_behind_them(desk):
    found = await proved(desk)
    assert len(found) == 5
    for receipt in found:
        one = desk.check(receipt)
        assert one.claims["model_hash"] == desk.models.bundle.digest.hex() and one.claims["fg"]["device"] == CAMERA and one.head_count == 5 and one.logged_at_ms
        assert one.claims["attestation_doc_hash"] == "" and one.claims["request_hash"] and one.verdict["outcome"] == "PASS"
    assert missing_frames([desk.check(r) for r in found]) == {}


async def test_the_verifier_stands_alone(desk, tmp_path):
    """Copied away, without Framegate on the path, it needs nothing but `cryptography`."""
    found = await proved(desk)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "v.py").write_bytes(Path(verifier.__file__).read_bytes())
    (alone / "r.json").write_text("\n".join(json.dumps(r) for r in found))
    (alone / "root.pem").write_bytes(desk.fleet.root.pem)
    code = "import sys; sys.modules['framegate'] = None; sys.path.insert(0, '.'); import v; sys.exit(v.main(['--root', 'root.pem', 'r.json']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds: PASS") == 5
    (alone / "r.json").write_text(json.dumps({**found[0], "leaf": found[1]["leaf"]}))
    assert subprocess.run([sys.executable, "-c", code], cwd=alone, capture_output=True, check=False).returncode == 6
    imported = {line.split()[1].split(".")[0] for line in Path(verifier.__file__).read_text().splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


async def test_n110_n124_any_flipped_bit_is_refused(desk):
    receipt = (await proved(desk))[1]
    places = [(receipt, "leaf"), (receipt, "verdict"), (receipt, "metadata"), (receipt["batch"], "envelope"), (receipt["camera"], "head"), (receipt["camera"], "signature"),
              (receipt["camera"], "certificate"), (receipt["log"], "entry"), (receipt["log"], "checkpoint")]  # fmt: skip
    for holder, name in places:
        good = holder[name]
        raw = base64.b64decode(good)
        for at in range(0, len(raw), max(1, len(raw) // 23)):
            holder[name] = b64(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
            desk.refused(receipt)
        holder[name] = good
    for holder in (receipt["batch"], receipt["camera"], receipt["log"]):
        good = holder["path"]
        for changed in ([*good, b64(bytes(32))], [b64(bytes(32)), *good[1:]] if good else [b64(bytes(32))]):
            holder["path"] = changed
            desk.refused(receipt)
        holder["path"] = good
    assert desk.check(receipt)


async def test_parts_of_other_receipts_prove_nothing(desk):
    one, two = (await proved(desk))[:2]
    assert desk.refused({**one, "verdict": two["verdict"]}) == "verdict"
    assert desk.refused({**one, "metadata": two["metadata"]}) == "frame"
    assert desk.refused({**one, "camera": two["camera"]}) == "camera-path"
    assert desk.refused({**one, "batch": two["batch"]}) == "batch-path"
    assert desk.refused({**one, "log": None}) == "log-path" and desk.check({**one, "log": None}, need_log=False).notes
    assert desk.refused({**one, "camera": None}) == "camera-head" and desk.check({**one, "camera": None}, need_camera=False).notes


@pytest.mark.parametrize("junk", [{}, {"format": "framegate-receipt-1"}, {"format": 3}, {"format": "framegate-receipt-1", "leaf": "!!", "verdict": ""}])
async def test_what_is_no_receipt(desk, junk):
    assert desk.refused(junk) == "format"


async def test_another_fleets_root_and_its_log(desk, tmp_path):
    from framegate_controller.ca.open import found_fleet

    receipt = (await proved(desk))[0]
    other = found_fleet(tmp_path / "other", "plant")
    with pytest.raises(ReceiptRefused) as caught:
        verify_receipt(receipt, other.root.pem)
    assert caught.value.check == "batch-signer"
    signer = desk.fleet.signing["profile"]  # a key of the fleet, for something else
    payload = json.loads(base64.b64decode(json.loads(base64.b64decode(receipt["log"]["checkpoint"]))["payload"]))
    receipt["log"]["checkpoint"] = b64(Checkpoint(**payload).seal(signer.der, signer.sign))
    assert desk.refused(receipt) == "log-signer"


async def test_a_gateway_that_alters_a_frame(desk):
    sealed = replace(desk.admitted, image_sha256=os.urandom(32), counter=4)
    await desk.maker.inspected(sealed, Inspection((), "aa"), 1.0)
    found = await proved(desk)
    assert desk.refused(found[0]) == "camera-path" and desk.check(found[1])


async def test_a_gateway_that_invents_a_frame(desk):
    ghost = replace(desk.admitted.metadata, part="ghost", trigger_sequence=99)
    await desk.maker.inspected(replace(desk.admitted, metadata=ghost, metadata_bytes=ghost.marshal(), image_sha256=os.urandom(32), counter=77), Inspection((), "aa"), 1.0)
    found = await proved(desk)
    assert desk.refused(found[0]) == "camera-head"


async def test_a_gateway_that_drops_a_frame_it_answered(desk):
    found = [desk.check(r) for r in await proved(desk)]
    session = found[0].session.hex()
    assert missing_frames([r for r in found if r.counter != 3]) == {session: (3,)}


async def test_a_frame_that_the_link_lost_is_not_the_gateways_fault(desk):
    head = Captured(part="lost", part_type="t", trigger_sequence=50, captured_at_ms=1, uncertainty_ms=1, encoding=1, width=640, height=640, mask_version=0, mask_sha256=b"", size=4)
    desk.session.seal(head, b"lost")
    found = [desk.check(r) for r in await proved(desk)]
    assert found[0].head_count == 6 and found[0].unanswered == (5,) and missing_frames(found) == {}


async def test_heads_that_a_gateway_refuses(desk):
    signed = sign_owed(desk.session.owed, desk.camera, 5)
    for head, signature, leaves in (
        (signed.head[:-1] + b"\0", signed.signature, signed.leaves), (signed.head, signed.signature[:-1] + b"\0", signed.leaves), (signed.head, signed.signature, signed.leaves[:-32]),
        (signed.head, signed.signature, bytes(len(signed.leaves))), (b"", b"", b""),
    ):  # fmt: skip
        with pytest.raises(FramegateError):
            desk.link.head(head, signature, leaves)
    assert desk.link.head(signed.head, signed.signature, signed.leaves)


async def test_n120_leaves_without_a_signature_are_recovered_and_marked(desk):
    desk.sign()
    await desk.frame(10)
    desk.store.close()  # the process ends between verdict and batch
    desk.open()
    await desk.frame(11)
    found = await proved(desk)
    notes = {desk.check(r).verdict["part"]: desk.check(r).notes for r in found}
    assert len(found) == 7, "none is missing"
    assert any("recovered" in n for n in notes["p10"]) and not any("recovered" in n for n in notes["p11"])


async def test_n120_kill_9_at_any_moment_loses_no_leaf_whose_verdict_left(tmp_path):
    """A child prints each number once its leaf is durable, and is killed in the middle: every printed one is in the store."""
    code = (
        "import asyncio,sys\nfrom pathlib import Path\nfrom framegate_gateway.receipts.store import ReceiptStore, LeafRow\n"
        "async def one(s):\n    n=s.next_number()\n    await s.append(LeafRow(n,f'{n:032x}','verdict','d',b'',0,'p','PASS',n,b'leaf'))\n    print(n,flush=True)\n"
        "async def main():\n    s=ReceiptStore(Path(sys.argv[1]))\n    while True: await asyncio.gather(*(one(s) for _ in range(8)))\nasyncio.run(main())"
    )
    last = 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        seen = [int(child.stdout.readline()) for _ in range(200)]
        child.kill()
        seen += [int(line) for line in child.stdout.read().split("\n") if line.strip().isdigit()][:-1]
        child.wait()
        store = ReceiptStore(tmp_path)
        with store.reading() as connection:
            kept = {r[0] for r in connection.execute("SELECT number FROM leaves")}
        store.close()
        assert set(seen) <= kept and kept == set(range(1, len(kept) + 1)) and min(seen) > last
        last = len(kept)


async def test_a_disk_that_fails_lets_nothing_pass(desk):
    desk.store._connection.execute("DROP TABLE leaves")
    with pytest.raises(FramegateError) as caught:
        await desk.frame(20)
    assert caught.value.reason == Reason.RECEIPT
    envelope = await desk.maker.uninspected(desk.admitted.metadata, Reason.RECEIPT)
    now = __import__("datetime").datetime.now(__import__("datetime").UTC)
    assert verify_verdict(envelope, desk.fleet.intermediates, desk.fleet.root.certificate, now).outcome == "UNINSPECTED"


async def test_one_process_holds_a_store(desk):
    with pytest.raises(FramegateError) as caught:
        ReceiptStore(desk.folder / "state")
    assert caught.value.reason == Reason.RECEIPT


@pytest.mark.parametrize("identifier", ["", "zz", "ambiguous", "'; DROP TABLE leaves; --", "f" * 32])
async def test_receipts_that_are_not_there(desk, identifier):
    for number in range(17):  # one more than there are digits: two ids begin alike, whatever chance does
        await desk.frame(100 + number)
    if identifier == "ambiguous":
        with desk.store.reading() as connection:
            firsts = [row[0][0] for row in connection.execute("SELECT id FROM leaves")]
        identifier = max(firsts, key=firsts.count)
    with pytest.raises(FramegateError) as caught:
        find(desk.store, identifier)
    assert caught.value.reason == Reason.NOT_FOUND


async def test_a_camera_that_died_signs_for_what_it_sealed(desk, tmp_path):
    spki = b"this boot's key"
    spool = HeadSpool(tmp_path / "heads", spki)
    owed = spool.begin("gateway.line-1.gw1", b"s" * 16, CAMERA, bytes(32))
    for number in range(3):
        owed.sealed(bytes([number]) * 32)
    owed.answered(1)
    with next((tmp_path / "heads").glob("*.frames")).open("ab") as file:
        file.write(b"L\0\0")  # a record that the power cut in half
    again = HeadSpool(tmp_path / "heads", spki).owed[b"s" * 16]
    assert (again.count, again.unanswered, again.host, again.live) == (3, {0, 2}, "gateway.line-1.gw1", False)
    assert sign_owed(again, desk.camera, 1).leaves == bytes(32) + b"\1" * 32 + b"\2" * 32
    spool.paid(b"s" * 16)
    owed.answered(2)  # the answer comes after the head was taken: no file is written any more, least of all somebody else's
    owed = spool.begin("gateway.line-1.gw1", b"t" * 16, CAMERA, bytes(32))
    owed.sealed(bytes(32))
    assert not HeadSpool(tmp_path / "heads", b"another boot's key").owed, "nobody can sign for another key's frames"
    assert not list((tmp_path / "heads").glob("*"))


def test_numbers_survive_restarts(tmp_path):
    for expected in (1, 2):
        store = ReceiptStore(tmp_path)
        assert store.last == expected - 1

        async def add(store=store):
            from framegate_gateway.receipts.store import LeafRow

            number = store.next_number()
            await store.append(LeafRow(number, f"{number:032x}", "verdict", "d", b"", 0, "p", "PASS", 1, b"x"))

        asyncio.run(add())
        store.close()
    assert time.time() and Encoding.DER
