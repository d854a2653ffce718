"""N135: masks, ignored regions and thresholds that blank a part so that it passes."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate import receipt_verifier
from framegate.errors import Malformed, Reason, Refused
from framegate.receipt_verifier import MIN_INSPECTED, PROFILE_1, PROFILE_2
from framegate.signed.inspected import MAX_AT_LEAST, MAX_MIN_SIZE_PX, inspected_share
from framegate.signed.mask import MAX_POINTS, MAX_REGIONS, MaskStatement, verify_masks
from framegate.signed.part import PartStatement, check_part
from framegate_controller.inspection.parts import parse_change
from framegate_controller.verbs.masks import SetMasks
from framegate_gateway.inference.inspection import Inspection
from framegate_proto.v1 import framegate_pb2 as pb
from support.receipts import proved
from support.refusals import refused

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def box(left: float, top: float, right: float, bottom: float):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def regions(*polygons):
    return [{"points": [list(p) for p in polygon]} for polygon in polygons]


@pytest.mark.parametrize(
    ("polygons", "percent"),
    [
        ([], 100),
        ([WHOLE], 0),
        ([WHOLE, WHOLE], 0),
        ([box(0, 0, 0.5, 1)], 49),
        ([box(0, 0, 0.25, 1), box(0, 0, 0.25, 1)], 74),
        ([box(0.1, 0.1, 0.2, 0.2)], 98),
        ([((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))], 49),
        ([((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))], 49),  # crosses itself
        ([box(0.5, 0.5, 0.5, 0.5)], 99),  # a point costs a cell
    ],
)
def test_n135_the_share_that_is_left(polygons, percent):
    assert inspected_share(polygons) == percent
    half = len(polygons) // 2
    assert inspected_share(polygons[:half], polygons[half:]) == percent, "whoever set them"


def test_n135_drawing_the_same_in_another_way_leaves_no_more():
    """Outlines round twice, the other way round, from another corner; a comb whose teeth lie
    between the middles of cells, and lines without an area, which a painter draws all the same.
    """
    part = box(0.1, 0.1, 0.6, 0.9)
    share = inspected_share([part])
    for other in (part[::-1], part[2:] + part[:2], part + part):
        assert inspected_share([other]) <= share
    comb = []
    for number in range(MAX_REGIONS):
        teeth = []
        for tooth in range(MAX_POINTS // 4):
            top = (number * (MAX_POINTS // 4) + tooth) / (MAX_REGIONS * MAX_POINTS // 4)
            teeth += [(0.0, top), (1.0, top), (1.0, top + 1e-4), (0.0, top + 1e-4)]
        comb.append(tuple(teeth))
    assert inspected_share(comb) < MIN_INSPECTED


@given(st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_n135_no_more_is_said_to_be_left_than_a_painter_leaves(chance: random.Random):
    """Painted as cameras and the model's process paint, pixel for pixel."""
    import cv2
    import numpy as np

    side = 400
    polygons = [
        tuple((chance.random(), chance.random()) for _ in range(chance.randint(3, 9)))
        for _ in range(chance.randint(1, 5))
    ]
    painted, hulls = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    for polygon in polygons:
        corners = np.round(np.array(polygon) * side).astype(np.int32)
        cv2.fillPoly(painted, [corners], 255)
        cv2.fillConvexPoly(hulls, cv2.convexHull(corners), 255)
    left, outside = (100 * float((p == 0).mean()) for p in (painted, hulls))
    assert inspected_share(polygons) <= left + 0.5  # half a pixel that rounding moves an outline
    # the painter fills even-odd, and of an outline gone round twice nothing: winding has it all,
    # but never more than the hull and the cells that its edge passes through
    assert inspected_share(polygons) >= outside - 12


# at every place where masks and rules come in


@pytest.mark.parametrize("share", [0.41, 0.5, 0.8, 0.97, 1.0])
def test_n135_masks_that_leave_too_little_are_refused_where_they_are_set_and_taken(keys, share):
    asked = regions(box(0, 0, 1, share))
    request = pb.SetMasksRequest(device="cam1", regions=json.dumps(asked).encode())
    assert refused(lambda: SetMasks.parse(request)) == Reason.MASK
    camera, by = "camera.line-1.cam1", keys.signing["mask"]
    envelope = MaskStatement(camera, 1, tuple(asked), 1).seal(by.der, by.sign)
    now = datetime.now(UTC)
    taken = lambda: verify_masks(envelope, camera, 0, (), keys.root.certificate, now)  # noqa: E731
    assert refused(taken) == Reason.MASK, "camera and gateway, although the controller signed it"


def test_n135_masks_that_leave_enough_are_taken(keys):
    asked = regions(box(0, 0, 1, 0.38))
    SetMasks.parse(pb.SetMasksRequest(device="cam1", regions=json.dumps(asked).encode()))
    camera, by = "camera.line-1.cam1", keys.signing["mask"]
    envelope = MaskStatement(camera, 1, tuple(asked), 1).seal(by.der, by.sign)
    masks = verify_masks(envelope, camera, 0, (), keys.root.certificate, datetime.now(UTC))
    assert inspected_share(masks.polygons) == 61


PART = PartStatement(
    part_type="board-7",
    version=1,
    goldens=("ab" * 32,),
    thresholds=({"kind": "open", "at_least": MAX_AT_LEAST},),
    min_size_px=MAX_MIN_SIZE_PX,
    ignore=tuple(regions(box(0, 0, 1, 0.38))),
    source="lot 12",
    approved_by=(),
    removed=0,
    issued_at_ms=1,
)


@pytest.mark.parametrize(
    "change",
    [
        {"ignore": tuple(regions(WHOLE))},
        {"ignore": tuple(regions(box(0, 0, 1, 0.41)))},
        {"ignore": tuple(regions(box(0, 0, 0.3, 1), box(0.7, 0, 1, 1)))},
        {"thresholds": ({"kind": "open", "at_least": 0.9999},)},
        {"thresholds": ({"kind": "open", "at_least": 0.96},)},
        {"thresholds": ({"kind": "a", "at_least": 0.5}, {"kind": "open", "at_least": 0.995})},
        {"min_size_px": 10_000.0},
        {"min_size_px": MAX_MIN_SIZE_PX + 0.1},
    ],
)
def test_n135_rules_that_blind_are_refused_where_they_are_set_and_taken(change):
    assert check_part(PART) == PART
    with pytest.raises((Malformed, Refused)) as caught:
        check_part(replace(PART, **change))
    assert caught.value.reason == Reason.PART
    rules = {
        "thresholds": list(change.get("thresholds", PART.thresholds)),
        "min_size_px": change.get("min_size_px", PART.min_size_px),
        "ignore": list(change.get("ignore", PART.ignore)),
    }
    with pytest.raises((Malformed, Refused)):
        parse_change("board-7", [b"\xff\xd8\xff"], json.dumps(rules).encode(), "s", remove=False)


# what the receipt says


def said(share, theirs, *, outcome="PASS", profile=PROFILE_2) -> str:
    """The check of the receipt's verifier that refuses this; empty where none does."""
    claims = {"eat_profile": profile, "fg": {"outcome": outcome, "inspected_percent": share}}
    try:
        receipt_verifier._inspected(claims, {"inspected_percent": theirs}, [])
    except receipt_verifier.ReceiptRefused as error:
        return error.check
    return ""


@pytest.mark.parametrize(
    ("share", "theirs", "outcome", "profile"),
    [
        (59, 59, "PASS", PROFILE_2),
        (0, 0, "PASS", PROFILE_2),
        (59, 59, "DEFECT", PROFILE_2),
        (101, 101, "PASS", PROFILE_2),
        (80, 81, "PASS", PROFILE_2),
        (None, None, "PASS", PROFILE_2),
        (True, True, "UNINSPECTED", PROFILE_2),
        (80.5, 80.5, "PASS", PROFILE_2),
        ("80", "80", "PASS", PROFILE_2),
        (80, 80, "UNINSPECTED", PROFILE_2),
        (80, 80, "PASS", PROFILE_1),
        (80, 80, "PASS", "tag:somebody,2026:receipt-3"),
    ],
)
def test_n135_receipts_that_do_not_say_that_enough_was_inspected(share, theirs, outcome, profile):
    assert said(share, theirs, outcome=outcome, profile=profile) == "inspected"


def test_n135_receipts_that_say_so():
    assert [said(s, s) for s in (60, 77, 100)] == ["", "", ""]
    assert said(0, 0, outcome="UNINSPECTED") == ""
    notes: list[str] = []
    before = {"eat_profile": PROFILE_1, "fg": {"outcome": "PASS"}}
    receipt_verifier._inspected(before, {}, notes)
    assert len(notes) == 1, "one of before it was said is told as that"


async def test_n135_a_gateway_that_signs_for_less_is_found_out_by_its_receipt(receipts_desk):
    blind = Inspection((), "aa", MIN_INSPECTED - 1)
    await receipts_desk.maker.inspected(receipts_desk.admitted, blind, 1.0)
    receipts = await proved(receipts_desk)
    assert receipts_desk.refused(receipts[0]) == "inspected"
    shares = [receipts_desk.check(r).verdict["inspected_percent"] for r in receipts[1:]]
    assert set(shares) == {100}
