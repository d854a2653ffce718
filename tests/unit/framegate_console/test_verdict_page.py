"""What the page of one verdict makes of its receipt."""

from dataclasses import replace

import pytest

from framegate.receipt_verifier import VerifiedReceipt
from framegate_console.pages.verdicts import Proof, heat_grids, proved
from support.receipts import proved as proved_receipts


def with_defects(*defects) -> Proof:
    whole = VerifiedReceipt({}, {"defects": list(defects)}, {}, 0, b"", 0, 0, ())
    return Proof("holds", "", whole)


def test_a_defect_that_bears_heat_is_drawn_and_others_are_not():
    hot, plain = {"kind": "scratch", "heat": ["0f", "80"]}, {"kind": "open", "score": 0.9}
    (grid,) = heat_grids(with_defects(hot, plain))
    assert (grid.kind, grid.hottest) == ("scratch", 1.0)
    assert [[round(v, 2) for v in row] for row in grid.rows] == [[0.0, 1.0], [0.53, 0.0]]


@pytest.mark.parametrize(
    "heat", ["0f", ["0g"], [["0"]], ["0", "00"], [], None, 7, ["0" * 99]], ids=repr
)
def test_what_is_no_grid_is_not_drawn(heat):
    assert heat_grids(with_defects({"kind": "x", "heat": heat}, "x", 7)) == []


async def test_a_receipt_that_does_not_hold_shows_no_heat_of_its_verdict(receipts_desk):
    receipt, root = (await proved_receipts(receipts_desk))[0], receipts_desk.fleet.root.pem
    assert proved(receipt, root).state == "holds"
    refused = proved({**receipt, "leaf": receipt["verdict"]}, root)
    assert refused.state == "refused" and heat_grids(refused) == []
    open_one = proved({**receipt, "camera": None}, root)
    assert open_one.state == "pending" and "camera-head" in open_one.why
    shown = replace(open_one, state="pending")
    assert heat_grids(shown) == [], "a part without defects has no heat"
