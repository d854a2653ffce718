"""Looks and reasons that a later version made (N184, N207): a receipt and a record are read and
shown as they are; what has to act on a look that it does not know refuses that part alone.
"""

import logging
from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Malformed, Reason
from framegate.looks.kinds import Look
from framegate.looks.limits import later_looks, parse_limits
from framegate.signed.part import check_part, verify_part
from framegate.signed.receipt import verdict_leaf
from framegate.signed.statement import Outcome
from framegate.wire import sha256
from framegate_controller.inspection import parts as parts_module
from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.verdicts import maker as maker_module
from framegate_operator.parts import _looks, _shown
from framegate_operator.receipts import _facts
from framegate_operator.verdict_words import verdict_facts, why_so
from framegate_proto.v1 import framegate_pb2 as pb
from support.boards import sealed_part, statement
from support.looks import row
from support.receipts import proved

HUMID, IMAGE = "humidity", b"\x89PNG\r\n\x1a\n" + b"one"
LATER = statement(goldens=(sha256(IMAGE).hex(),), looks=(row(), row(HUMID)))


@pytest.mark.parametrize("look", list(Look), ids=str)
def test_n207_looks_of_this_version_are_none_of_a_later_one(look):
    assert later_looks([row(look)]) == ()


@pytest.mark.parametrize("look", [None, 7, ["residual"], {}, True, "a\nb", ""])
def test_n184_a_look_without_a_name_is_no_later_one(keys, look):
    odd = statement(looks=({**row(), "look": look},))
    assert odd.later == ()
    with pytest.raises(FramegateError):
        check_part(odd)
    with pytest.raises(FramegateError):
        verify_part(sealed_part(keys, odd), keys.root.certificate, datetime.now(UTC))


def test_n184_nobody_signs_a_look_that_he_does_not_know():
    assert LATER.later == (HUMID,)
    with pytest.raises(Malformed):
        check_part(LATER)
    with pytest.raises(Malformed):
        parse_limits(LATER.looks)


@pytest.mark.parametrize(
    "own", [row(limit=90.0), row(frames=10), {**row(), "more": 1}], ids=["loose", "few", "member"]
)
def test_n184_limits_beside_a_later_look_are_looked_at_all_the_same(keys, own):
    odd = statement(looks=(own, row(HUMID)))
    with pytest.raises(FramegateError):
        verify_part(sealed_part(keys, odd), keys.root.certificate, datetime.now(UTC))


def test_n184_a_gateway_of_before_inspects_no_part_by_half_of_its_guard(keys, tmp_path, caplog):
    """And all other parts as ever: one look that it does not know is no reason to lose the feed."""
    now, root = datetime.now(UTC), keys.root.certificate
    other = statement(part_type="board-8", goldens=LATER.goldens)
    parts = FleetParts(tmp_path / "golden", GoldenImages(()))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            parts.apply([sealed_part(keys, LATER), sealed_part(keys, other)], root, now)
    parts._keep(LATER.goldens[0], IMAGE)
    assert "board-8" in parts and "board-7" not in parts
    for ask in (parts.get, parts.key):
        with pytest.raises(KeyError):
            ask("board-7")
    (told,) = [r.getMessage() for r in caplog.records if HUMID in r.getMessage()]
    assert "board-7" in told and "update this gateway" in told
    known = statement(version=2, goldens=LATER.goldens, looks=(row(),))
    parts.apply([sealed_part(keys, known)], root, now)
    assert parts.get("board-7").looks == (row(),)


def test_n184_whoever_takes_a_later_look_away_is_told_so(bench, models_desk):
    with bench.store.writing() as tx:
        parts_module._signed(tx, bench.keys, LATER, "operator.anna")
    asked = pb.AddPartRequest(part_type="board-7", goldens=[IMAGE], rules=b"{}", source="s")
    models_desk.ask("AddPart", asked)
    assert f"WEAKER GUARD: {HUMID}, of a later version, goes" in models_desk.aim.summary
    assert "residual goes" in models_desk.aim.summary


def test_n207_a_record_of_a_later_look_is_shown(bench, models_desk):
    with bench.store.writing() as tx:
        parts_module._signed(tx, bench.keys, LATER, "operator.anna")
    (part,) = models_desk.ask("ListParts", pb.ListRequest()).parts
    body = _shown(part)
    assert body["looks"] == {"residual": 80.0, HUMID: 80.0}
    assert _looks(body) == f"residual 80, {HUMID} 80"


async def receipt_of(desk, monkeypatch, outcome: Outcome, reason: str):
    """The receipt of a frame by a gateway of a later version, verified by this one."""

    def leaf(*told, **more):
        (number, verdict, payload, metadata, behind, took) = told
        guarded = type(behind)(isolation="no files", guarded_by=("residual", HUMID))
        return verdict_leaf(number, verdict, payload, metadata, guarded, took, **more)

    monkeypatch.setattr(maker_module, "verdict_leaf", leaf)
    await desk.frame(20)
    if outcome == Outcome.UNINSPECTED:
        frame = maker_module._Frame(desk.admitted.metadata, counter=desk.admitted.counter)
        await desk.maker._made(frame, outcome, reason)
    checked = [desk.check(r) for r in await proved(desk)]
    (one,) = [
        r
        for r in checked
        if r.claims["fg"].get("guarded_by") and r.claims["fg"]["outcome"] == outcome.value
    ]
    return one


async def test_n207_a_receipt_that_names_a_later_look_is_verified_and_shown(
    receipts_desk, monkeypatch
):
    verified = await receipt_of(receipts_desk, monkeypatch, Outcome.PASS, "")
    assert verified.claims["fg"]["guarded_by"] == ["residual", HUMID]
    (said,) = [text for name, text in _facts(verified, None) if name == "second looks"]
    assert said.startswith(f"residual, {HUMID}; not against pixels replaced")


@pytest.mark.parametrize("reason", [Reason.CAMERA_FOREIGN.value, "air-too-humid"])
async def test_n207_a_reason_of_a_later_version_is_shown(receipts_desk, monkeypatch, reason):
    verified = await receipt_of(receipts_desk, monkeypatch, Outcome.UNINSPECTED, reason)
    assert verified.claims["fg"]["reason"] == reason
    assert any(reason in str(text) for _, text in verdict_facts(verified))
    assert next(iter(why_so(verified))).startswith(f"It was not inspected: {reason}")
    assert ("verdict", f"UNINSPECTED {reason}") in _facts(verified, None)
