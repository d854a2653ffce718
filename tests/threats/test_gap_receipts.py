"""N133, N110: receipts of gaps: one leaf for a range of triggers, which stands for no frame."""

import json

import pytest

import framegate.receipt_verifier as verifier
from framegate.receipt_verifier import missing_frames, skipped_triggers
from framegate.signed.receipt import TriggerGap, b64, gap_leaf
from framegate_gateway.receipts.lineage import lineage
from framegate_gateway.receipts.rows import LeafRow
from framegate_simulators.fixtures.gateway import CAMERA, HOST
from support.receipts import proved

GAP = TriggerGap(CAMERA, "source-1", 7, 9, 3, "00" * 16)


async def forged(desk, **changes) -> dict:
    """The receipt of a gap whose leaf a lying gateway wrote, after everything it signs."""
    number = desk.store.next_number()
    body = json.loads(gap_leaf(number, f"{number:032x}", HOST, "line-1", desk.view.now_ms(), GAP))
    body["fg"].update(changes)
    leaf = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    row = LeafRow(number, body["cti"], "gap", CAMERA, b"", 0, "", desk.view.now_ms(), leaf)
    await desk.store.append(row)
    desk.sign()
    desk.log()
    return desk.receipts(id=body["cti"])[0]


async def test_n133_a_gap_has_a_receipt_that_holds(receipts_desk):
    await receipts_desk.maker.gap(GAP)
    receipts = [receipts_desk.check(r) for r in await proved(receipts_desk)]
    (gap,) = [r for r in receipts if r.is_gap]
    assert len(receipts) == 6 and gap.claims["fg"]["zone"] == "line-1" and gap.logged_at_ms
    assert (gap.verdict, gap.session, gap.head_count) == ({}, b"", 0)
    assert missing_frames(receipts) == {}
    assert skipped_triggers(receipts) == (
        {"device": CAMERA, "source": "source-1", "first": 7, "last": 9, "count": 3},
    )
    chain = lineage(receipts_desk.store, receipts_desk.models.bundle, gap.claims["cti"])
    assert (chain["kind"], chain["event"]["event"]) == ("event", "gap")


async def test_n133_a_gateway_cannot_call_a_frame_that_it_answered_a_gap(receipts_desk):
    """It drops the receipt of counter 3, and says that the trigger never came."""
    session = receipts_desk.link.opened.hex()
    await receipts_desk.maker.gap(TriggerGap(CAMERA, "source-1", 3, 3, 1, session))
    receipts = [receipts_desk.check(r) for r in await proved(receipts_desk)]
    kept = [r for r in receipts if r.is_gap or r.counter != 3]
    assert missing_frames(kept) == {session: (3,)}


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": 4},
        {"count": -1},
        {"count": True},
        {"count": 3.0},
        {"count": "3"},
        {"first": 10},
        {"first": -1},
        {"last": None},
        {"outcome": "PASS"},
        {"reason": ""},
    ],
)
async def test_n133_gaps_that_contradict_themselves(receipts_desk, change):
    assert receipts_desk.refused(await forged(receipts_desk, **change)) == "gap"


async def test_n133_a_gap_with_another_receipts_parts(receipts_desk):
    gap = await forged(receipts_desk)
    await receipts_desk.head()
    frame = next(r for r in receipts_desk.receipts() if r["camera"])
    assert receipts_desk.check(gap)
    for name in ("verdict", "metadata", "camera"):
        assert receipts_desk.refused({**gap, name: frame[name]}) == "gap"
    assert receipts_desk.refused({**gap, "batch": frame["batch"]}) == "batch-path"
    assert receipts_desk.refused({**gap, "log": None}) == "log-path"


async def test_n133_a_frames_receipt_cannot_pass_for_a_gap(receipts_desk):
    """A leaf is what its kind says; another kind, such as an export's, is no receipt."""
    receipt = (await proved(receipts_desk))[0]
    for kind in ("gap", "event", "", None):
        body = json.loads(verifier._raw(receipt["leaf"]))
        body["kind"] = kind
        leaf = b64(json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
        wanted = "batch-path" if kind == "gap" else "format"
        assert receipts_desk.refused({**receipt, "leaf": leaf}) == wanted


async def test_n133_the_verifiers_command_line_tells_of_gaps(receipts_desk, tmp_path, capsys):
    await receipts_desk.maker.gap(GAP)
    receipts = await proved(receipts_desk)
    root, file = tmp_path / "root.pem", tmp_path / "r.json"
    root.write_bytes(receipts_desk.fleet.root.pem)
    file.write_text("\n".join(map(json.dumps, receipts)))
    assert verifier.main(["--root", str(root), str(file)]) == 0
    assert "UNINSPECTED 3 triggers from 7 to 9 of" in capsys.readouterr().out
