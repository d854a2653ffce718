"""N135: the share that is inspected is of the part, not of the background around it."""

import json
import random
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate import receipt_verifier
from framegate.errors import Malformed, Reason, Refused
from framegate.receipt_verifier import MIN_INSPECTED, PROFILE_1, PROFILE_2
from framegate.signed.inspected import (
    GRID,
    PICTURE,
    Inspected,
    InspectedOf,
    area_of,
    cells_of,
    inspected_share,
    moved_area,
)
from framegate.signed.mask import MAX_POINTS, parse_regions
from framegate.signed.part import MAX_OUTLINES, PartStatement, check_part, left_by
from framegate.wire import ENCODING_PNG
from framegate_controller.inspection.parts import parse_change
from framegate_controller.rpc import devices as mask_rows
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.part_area import outline_of, part_area, require_part_inspected
from framegate_gateway.inference.parts import least_left, left_to_inspect
from framegate_gateway.inference.service import Service
from framegate_operator.asked_parts import parts_under
from framegate_proto.rendering import render, summarise
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.bare_parts import (
    BOTTOM,
    HEIGHT,
    HIDES_THE_PART,
    LEFT,
    PART,
    RIGHT,
    TOP,
    WIDTH,
    bare_part,
    box,
    regions,
)
from support.forged_networks import RECIPE, blinded
from support.refusals import refused

STATEMENT = PartStatement(
    part_type="plate-1",
    version=1,
    goldens=("ab" * 32,),
    thresholds=(),
    min_size_px=0.0,
    ignore=(),
    source="lot 12",
    approved_by=(),
    removed=0,
    issued_at_ms=1,
    outline=tuple(regions(PART)),
)


def test_n135_the_mask_of_these_tests_hides_the_part_and_hardly_any_of_the_picture():
    assert inspected_share([HIDES_THE_PART]) >= 90
    assert inspected_share([HIDES_THE_PART], area=area_of((PART,))) <= 10


# where rules are set


@pytest.mark.parametrize(
    "ignored",
    [
        (HIDES_THE_PART,),
        (PART,),
        (box(LEFT, TOP, RIGHT, TOP + 0.41 * (BOTTOM - TOP)),),
        (box(LEFT, TOP, LEFT + 0.1, BOTTOM), box(RIGHT - 0.05, TOP, RIGHT, BOTTOM)),
    ],
    ids=["nine-tenths", "all", "just-too-much", "two-strips"],
)
def test_n135_rules_that_hide_the_part_are_refused_whatever_background_they_leave(ignored):
    changed = replace(STATEMENT, ignore=tuple(regions(*ignored)))
    assert check_part(replace(changed, outline=())), "of the picture it is enough"
    assert refused(lambda: check_part(changed)) == Reason.PART
    rules = json.dumps({"ignore": regions(*ignored), "outline": regions(PART)}).encode()
    asked = partial(parse_change, "plate-1", [b"\xff\xd8\xff"], rules, "s", remove=False)
    assert refused(asked) == Reason.PART


def test_n135_rules_that_leave_enough_of_the_part_are_taken_and_told_of_it():
    part = replace(STATEMENT, ignore=tuple(regions(box(LEFT, TOP, RIGHT, TOP + 0.09))))
    assert str(left_by(check_part(part))) == "69 % of the part's outline"
    assert str(left_by(replace(part, outline=()))) == "97 % of the picture"


@pytest.mark.parametrize(
    "outline",
    [
        regions(box(0.5, 0.5, 0.51, 0.51)),
        regions(PART) * (MAX_OUTLINES + 1),
        [{"points": [[0, 0], [1, 2], [1, 1]]}],
        [{"points": [[0, 0]]}],
        [{}],
        [PART],
    ],
    ids=["speck", "too-many", "outside", "point", "empty", "no-record"],
)
def test_n135_outlines_that_are_none(outline):
    with pytest.raises((Malformed, Refused)):
        check_part(replace(STATEMENT, outline=tuple(outline)))


# where masks are set


def add(bench, desk, part_type, **rules):
    golden = b"\x89PNG\r\n\x1a\n" + part_type.encode()
    asked = {"part_type": part_type, "goldens": [golden], "source": "s"}
    return desk.ask("AddPart", pb.AddPartRequest(rules=json.dumps(rules).encode(), **asked))


def mask(*polygons):
    return pb.SetMasksRequest(device="cam1", regions=json.dumps(regions(*polygons)).encode())


def test_n135_masks_under_which_no_part_could_be_inspected_are_refused(bench, models_desk):
    bench.enrol("cam1")
    desk = AllowedCaller(bench.store, bench.fleet, mask_rows.ROWS)
    asked = mask(HIDES_THE_PART)
    add(bench, models_desk, "no-outline")
    assert desk.ask("SetMasks", asked).version == 1, "of the picture it leaves enough"
    add(bench, models_desk, "plate-1", outline=regions(PART))
    assert refused(lambda: desk.ask("SetMasks", asked)) == Reason.MASK
    elsewhere = regions(box(0.0, 0.0, 0.3, 0.3))
    add(bench, models_desk, "plate-2", outline=elsewhere)
    assert desk.ask("SetMasks", asked).version == 2, "a camera may see the other one"
    assert "NO LONGER INSPECTED under them: plate-1 (7 % of the part's outline)" in desk.aim.summary


def test_n135_an_outline_that_goes_or_shrinks_is_told_as_a_weaker_guard(bench, models_desk):
    add(bench, models_desk, "plate-1", outline=regions(PART))
    add(bench, models_desk, "plate-1")
    assert "WEAKER GUARD: its outline goes" in models_desk.aim.summary
    add(bench, models_desk, "plate-1", outline=regions(PART))
    add(bench, models_desk, "plate-1", outline=regions(box(0.0, 0.0, 0.2, 0.2)))
    assert "another outline, of 4 % of the picture, before 9 %" in models_desk.aim.summary


def test_n135_whoever_approves_reads_what_the_share_is_of():
    rules = {"ignore": regions(box(LEFT, TOP, RIGHT, TOP + 0.09)), "outline": regions(PART)}
    asked = pb.AddPartRequest(part_type="plate-1", rules=json.dumps(rules).encode())
    said = [s.lines for s in render(asked) if s.member == "inspected"]
    assert said == [("69 % of the part's outline",)]
    assert "inspected 69 % of the part's outline" in summarise(asked)
    asked.rules = json.dumps({"ignore": rules["ignore"]}).encode()
    assert "inspected 97 % of the picture" in summarise(asked)


class Listing:
    """The one call that an approver's command makes."""

    def __init__(self, keys, *parts):
        by = keys.signing["part"]
        rows = [pb.PartRow(part_type=p.part_type, envelope=p.seal(by.der, by.sign)) for p in parts]
        self.reply = pb.PartsReply(parts=rows)

    def ListParts(self, _request):
        return self.reply


def test_n135_whoever_approves_masks_reads_what_they_leave_of_each_part(keys):
    bare = replace(STATEMENT, part_type="bare", outline=())
    stub = Listing(keys, STATEMENT, bare)
    lines = list(parts_under(stub, mask(HIDES_THE_PART)))
    assert lines[0] == (
        "they leave of part plate-1: 7 % of the part's outline: ITS FRAMES WILL BE REFUSED"
    )
    assert lines[1].startswith("1 parts have no outline")
    first = next(iter(parts_under(stub, mask(box(0, 0, 0.1, 0.1)))))
    assert first.endswith("100 % of the part's outline")
    assert not list(parts_under(stub, pb.DeviceRequest())), "other requests have no masks"


# at the gateway


def head(*masks):
    return {"masks": masks, "width": WIDTH, "height": HEIGHT}


RULES = {"ignore": (), "min_size_px": 0.0}


def test_n135_a_gateway_refuses_masks_that_hide_the_part():
    assert left_to_inspect(head(HIDES_THE_PART), RULES, ()).of is InspectedOf.PICTURE
    asked = lambda: left_to_inspect(head(HIDES_THE_PART), RULES, (PART,))  # noqa: E731
    assert refused(asked) == Reason.INSPECTED_SHARE
    both = RULES | {"ignore": (box(LEFT, TOP, LEFT + 0.08, BOTTOM),)}
    strip = box(RIGHT - 0.08, TOP, RIGHT, BOTTOM)
    for masks, rules in (((strip,), RULES), ((), both)):
        assert left_to_inspect(head(*masks), rules, (PART,)).of is InspectedOf.OUTLINE
    asked = lambda: left_to_inspect(head(strip), both, (PART,))  # noqa: E731
    assert refused(asked) == Reason.INSPECTED_SHARE, "each is allowed, both are too much"


@pytest.mark.parametrize(
    ("signed", "shown", "said"),
    [
        (Inspected(97, InspectedOf.PICTURE), None, "97 % of the picture"),
        (Inspected(97, InspectedOf.PICTURE), 70, "70 % of the part as its golden image shows it"),
        (Inspected(97, InspectedOf.OUTLINE), 70, "70 % of the part as its golden image shows it"),
        (Inspected(70, InspectedOf.OUTLINE), 97, "70 % of the part's outline"),
        (Inspected(70, InspectedOf.OUTLINE), None, "70 % of the part's outline"),
    ],
)
def test_n135_a_signed_outline_that_is_none_makes_nothing_look_better(signed, shown, said):
    assert str(least_left(signed, shown)) == said


def see(service, frame, *masks, ignore=()):
    """What the child says to a frame of the bare part, or the reason it refuses for."""
    for polygon in masks:
        corners = np.round(np.array(polygon) * (WIDTH, HEIGHT)).astype(np.int32)
        cv2.fillPoly(frame, [corners], 0)
    png, golden = (cv2.imencode(".png", i)[1].tobytes() for i in (frame, bare_part()))
    request = {
        "id": 1,
        "kind": "inspect",
        "part_type": "plate-1",
        "camera": "camera.line-1.cam1",
        "encoding": ENCODING_PNG,
        "width": WIDTH,
        "height": HEIGHT,
        "masks": masks,
        "measure": False,
        "forget": (),
        "golden_bytes": [len(golden)],
        "rules": RULES | {"thresholds": {}, "ignore": ignore, "looks": ()},
    }
    return service.answer(request, golden + png)[0]


@pytest.fixture
def child():
    return Service(Inspector(RECIPE, blinded), (), random.Random(7))  # noqa: S311


def test_n135_the_process_that_decodes_knows_the_part_by_its_golden_image(child):
    """Nobody signed an outline: what stands off the background is the part."""
    assert see(child, bare_part(noise=1))["part_percent"] == 100
    corner = box(LEFT, TOP, RIGHT, TOP + 0.06)
    assert see(child, bare_part(noise=2), corner)["part_percent"] in {78, 79, 80}
    beside = see(child, bare_part(noise=3), box(0.0, 0.0, 0.3, 1.0))
    assert beside["part_percent"] == 100, "a mask on the background costs the part nothing"
    for masks, ignore in (((HIDES_THE_PART,), ()), ((), (HIDES_THE_PART,)), ((corner,), (PART,))):
        said = refused(lambda m=masks, i=ignore: see(child, bare_part(noise=4), *m, ignore=i))
        assert said in {Reason.INSPECTED_SHARE, Reason.REGISTRATION}
    only = refused(lambda: see(child, bare_part(noise=4), ignore=(HIDES_THE_PART,)))
    assert only == Reason.INSPECTED_SHARE


def test_n135_the_part_is_looked_for_where_it_lies_in_the_frame():
    """Moved out of a mask's way, or into it: masks stay where they are in the picture."""
    area, strip = part_area(bare_part()), box(0.0, 0.0, LEFT + 0.13, 1.0)
    size = (HEIGHT, WIDTH)
    assert refused(lambda: require_part_inspected(area, (strip,), (), (0.0, 0.0), size)) == (
        Reason.INSPECTED_SHARE
    )
    away = require_part_inspected(area, (strip,), (), (20.0, 0.0), size)
    assert away is not None and MIN_INSPECTED <= away < 70
    assert require_part_inspected(None, (strip,), (), (0.0, 0.0), size) is None


@pytest.mark.parametrize(
    "golden",
    [
        np.full((HEIGHT, WIDTH), 90, np.uint8),
        np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH), np.uint8),
        np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1)),
        cv2.rectangle(np.full((HEIGHT, WIDTH), 40, np.uint8), (9, 9), (630, 470), 170, -1),
        cv2.circle(np.full((HEIGHT, WIDTH), 40, np.uint8), (300, 200), 12, 170, -1),
    ],
    ids=["nothing", "noise", "uneven-light", "fills-the-picture", "speck"],
)
def test_n135_where_no_part_stands_off_a_background_the_share_is_of_the_picture(golden):
    assert part_area(golden) is None and outline_of(golden) == []


@pytest.mark.parametrize("noise", [0, 5])
def test_n135_an_outline_that_was_learnt_is_the_part(noise):
    drawn = outline_of(bare_part(noise=noise))
    assert check_part(replace(STATEMENT, outline=tuple(drawn)))
    learnt, true = area_of(parse_regions(drawn)), area_of((PART,))
    both = sum((a & b).bit_count() for a, b in zip(learnt, true, strict=True))
    assert both >= 0.97 * max(cells_of(learnt), cells_of(true))
    assert all(len(region["points"]) <= MAX_POINTS for region in drawn)


@given(st.integers(-300, 300), st.integers(-300, 300), st.integers(0, 2**32))
@settings(max_examples=40)
def test_n135_an_area_that_moves_is_the_same_area(right, down, seed):
    cells = np.random.default_rng(seed).random((GRID, GRID)) < 0.01
    area = tuple(sum(1 << int(x) for x in np.nonzero(row)[0]) for row in cells)
    moved = moved_area(area, right, down)
    expected = np.zeros_like(cells)
    for y, x in zip(*np.nonzero(cells), strict=True):
        if 0 <= y + down < GRID and 0 <= x + right < GRID:
            expected[y + down, x + right] = True
    assert moved == tuple(sum(1 << int(x) for x in np.nonzero(row)[0]) for row in expected)
    assert len(moved) == GRID and all(0 <= row <= PICTURE[0] for row in moved)


# what the receipt says


def said(ours, theirs, outcome="PASS", profile=PROFILE_2) -> str:
    claims = {"eat_profile": profile, "fg": {"outcome": outcome, **ours}}
    try:
        receipt_verifier._inspected(claims, theirs, [])
    except receipt_verifier.ReceiptRefused as error:
        return error.check
    return ""


def test_n135_receipts_say_what_the_share_is_of_as_their_verdict_does():
    whole = {"inspected_percent": 80}
    for of in ("outline", "foreground"):
        assert said(whole | {"inspected_of": of}, whole | {"inspected_of": of}) == ""
        assert said(whole, whole | {"inspected_of": of}) == "inspected"
        assert said(whole | {"inspected_of": of}, whole) == "inspected"
        less = {"inspected_percent": 59, "inspected_of": of}
        assert said(less, less) == "inspected"
        nothing = {"inspected_percent": 0, "inspected_of": of}
        assert said(nothing, nothing, outcome="UNINSPECTED") == "inspected"
        assert said(whole | {"inspected_of": of}, whole, profile=PROFILE_1) == "inspected"
    for of in ("sky", 1, None, ["outline"], True):
        both = whole | {"inspected_of": of}
        assert said(both, both) == "inspected"
