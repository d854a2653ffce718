"""N110, N120, N124: receipts that are changed, unsigned or lost."""

import base64
import json
import subprocess
import sys

import pytest

from framegate.errors import Reason
from framegate.signed.receipt import b64
from framegate_gateway.receipts.store import ReceiptStore
from support.receipts import proved


async def test_n110_n124_any_flipped_bit_is_refused(receipts_desk):
    receipt = (await proved(receipts_desk))[1]
    places = [
        (receipt, "leaf"),
        (receipt, "verdict"),
        (receipt, "metadata"),
        (receipt["batch"], "envelope"),
        (receipt["camera"], "head"),
        (receipt["camera"], "signature"),
        (receipt["camera"], "certificate"),
        (receipt["log"], "entry"),
        (receipt["log"], "checkpoint"),
    ]
    for holder, name in places:
        good = holder[name]
        raw = base64.b64decode(good)
        for at in range(0, len(raw), max(1, len(raw) // 23)):
            holder[name] = b64(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
            receipts_desk.refused(receipt)
        holder[name] = good
    for holder in (receipt["batch"], receipt["camera"], receipt["log"]):
        good = holder["path"]
        for changed in (
            [*good, b64(bytes(32))],
            [b64(bytes(32)), *good[1:]] if good else [b64(bytes(32))],
        ):
            holder["path"] = changed
            receipts_desk.refused(receipt)
        holder["path"] = good
    assert receipts_desk.check(receipt)


async def test_n120_leaves_without_a_signature_are_recovered_and_marked(receipts_desk):
    receipts_desk.sign()
    await receipts_desk.frame(10)
    receipts_desk.store.close()  # the process ends between verdict and batch
    receipts_desk.open()
    await receipts_desk.frame(11)
    receipts = await proved(receipts_desk)
    notes = {receipts_desk.check(r).verdict["part"]: receipts_desk.check(r).notes for r in receipts}
    assert len(receipts) == 7, "none is missing"
    assert any("recovered" in n for n in notes["p10"]) and not any(
        "recovered" in n for n in notes["p11"]
    )


async def test_n120_kill_9_at_any_moment_loses_no_leaf_whose_verdict_left(tmp_path):
    """A child prints each number once its leaf is durable, and is killed in the middle: every
    printed one is in the store.
    """
    code = (
        "import asyncio,sys\nfrom pathlib import Path\nfrom framegate_gateway.receipts.store import"
        " ReceiptStore\nfrom framegate_gateway.receipts.rows import LeafRow\nasync def one(s):\n"
        "    n=s.next_number()\n    await"
        " s.append(LeafRow(n,f'{n:032x}','verdict','d',b'',0,'p',n,b'leaf'))\n   "
        " print(n,flush=True)\nasync def main():\n    s=ReceiptStore(Path(sys.argv[1]))\n    while"
        " True: await asyncio.gather(*(one(s) for _ in range(8)))\nasyncio.run(main())"
    )
    last = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        seen = [int(child.stdout.readline()) for _ in range(200)]
        child.kill()
        seen += [int(line) for line in child.stdout.read().split("\n") if line.strip().isdigit()][
            :-1
        ]
        child.wait()
        store = ReceiptStore(tmp_path)
        with store.reading() as connection:
            kept = {r[0] for r in connection.execute("SELECT number FROM leaves")}
        store.close()
        assert set(seen) <= kept and kept == set(range(1, len(kept) + 1)) and min(seen) > last
        last = len(kept)


async def test_n127_every_receipt_says_how_its_frames_decoder_was_confined(receipts_desk):
    engine = receipts_desk.models.engine
    engine.isolation = "no network, no files"
    await receipts_desk.frame(10)
    engine.isolation = "unconfined: lacks system calls (seccomp: not there), no files"
    await receipts_desk.frame(11)
    await receipts_desk.maker.uninspected(receipts_desk.admitted.metadata, Reason.IMAGE)
    told = [
        receipts_desk.check(receipt, need_camera=False) for receipt in await proved(receipts_desk)
    ]
    said = {t.claims["fg"]["part"]: t for t in told if t.claims["fg"]["outcome"] == "PASS"}
    assert said["p10"].claims["fg"]["isolation"] == "no network, no files"
    assert said["p10"].claims["fg"]["provider"] == "cpu"
    assert said["p10"].notes == ()
    (refused,) = [t for t in told if t.claims["fg"]["outcome"] == "UNINSPECTED"]
    for receipt in (said["p11"], refused):
        assert any(note.startswith("unconfined: lacks system calls") for note in receipt.notes)


@pytest.mark.parametrize("isolation", [7, None, ["no files"], "x" * 501])
async def test_n127_isolation_is_a_sentence(receipts_desk, isolation):
    receipts_desk.models.engine.isolation = isolation
    await receipts_desk.frame(10)
    (receipt,) = [
        receipt
        for receipt in await proved(receipts_desk)
        if json.loads(base64.b64decode(receipt["leaf"]))["fg"]["part"] == "p10"
    ]
    assert receipts_desk.refused(receipt) == "format"
