"""N109 and around the model: the quality gate, registration, parts and their rules, golden images learnt, boxes judged as DeepPCB does."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.signed.part import MIN_LESSON, PartStatement, check_part, verify_part
from framegate.wire import sha256
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.golden_learner import GoldenLearner
from framegate_gateway.inference.inspector import golden_of
from framegate_gateway.inference.learning import learn_golden
from framegate_gateway.inference.parts import GoldenImages, Part
from framegate_gateway.inference.registration import MAX_SHIFT_PX, reference, register
from framegate_gateway.inference.rules import apply_rules
from framegate_gateway.inference.signed_folder import signed_files
from framegate_models.evaluate import inspector_of
from framegate_models.manifest import sign_folder
from framegate_simulators.boards.boards import CLASSES, draw_board

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


def moved(image, dx: float, dy: float):
    return cv2.warpAffine(image, np.float32([[1, 0, dx], [0, 1, dy]]), image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


# ---------------------------------------------------------------- registration


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_registration_finds_a_shift_to_a_fraction_of_a_pixel(dx, dy):
    grey = cv2.GaussianBlur(BOARD.golden, (0, 0), 2.0)
    found = register(reference(grey), moved(grey, dx, dy))
    assert abs(found.shift[0] - dx) < 0.35 and abs(found.shift[1] - dy) < 0.35 and found.likeness > 0.95


def test_registration_takes_no_shift_that_helps_nothing():
    grey = cv2.GaussianBlur(BOARD.golden, (0, 0), 2.0)
    assert register(reference(grey), grey).shift == (0.0, 0.0)
    far = register(reference(grey), moved(grey, MAX_SHIFT_PX * 3, 0))
    assert max(map(abs, far.shift)) <= MAX_SHIFT_PX
    flat = np.full((640, 640), 200, np.uint8)
    assert register(reference(flat), grey).likeness == 0.0 and register(reference(grey), flat).likeness == 0.0


def test_small_and_odd_images_are_registered_too():
    for h, w in ((33, 57), (2, 2), (64, 1), (101, 640)):
        image = np.random.default_rng(h).integers(0, 255, (h, w), np.uint8)
        assert register(reference(image), image).golden.shape == (h, w)


# ---------------------------------------------------------------- the gate


SPOILT = {
    "covered": (lambda i: np.full_like(i, 9), Reason.IMAGE_COVERED),
    "dark": (lambda i: (i * 0.3).astype(np.uint8), Reason.IMAGE_EXPOSURE),
    "over-exposed": (lambda i: np.clip(i.astype(int) + 150, 0, 255).astype(np.uint8), Reason.IMAGE_EXPOSURE),
    "defocused": (lambda i: cv2.GaussianBlur(i, (0, 0), 6), Reason.IMAGE_DEFOCUS),
    "another part": (lambda i: draw_board(3, design=44, defects=0, clean_capture=True).frame, Reason.REGISTRATION),
    "upside down": (lambda i: i[::-1].copy(), Reason.REGISTRATION),
    "out of its place": (lambda i: moved(i, 120, 80), Reason.REGISTRATION),
}


@pytest.fixture(scope="module")
def inspector():
    return inspector_of(load_bundle(DEFAULT_BUNDLE), threads=1)


@pytest.mark.parametrize("case", SPOILT)
def test_N109_frames_that_show_nothing_worth_inspecting(inspector, case):
    spoil, reason = SPOILT[case]
    with pytest.raises(Refused) as caught:
        inspector.prepare(spoil(BOARD.frame), golden_of(BOARD.golden))
    assert caught.value.reason == reason, str(caught.value)


@pytest.mark.parametrize("fault", [lambda i: i, lambda i: cv2.GaussianBlur(i, (0, 0), 1.2), lambda i: moved(i, 6.4, -3.3), lambda i: (i * 0.9 + 12).astype(np.uint8)])
def test_frames_of_an_ordinary_day_pass_the_gate(inspector, fault):
    inspector.prepare(fault(BOARD.frame), golden_of(BOARD.golden))
    for seed in range(20):
        board = draw_board(3_000_000 + seed, defects=14, clean_capture=True)
        inspector.prepare(board.frame, golden_of(board.golden), gate=seed != -1)


def test_a_moved_frame_is_judged_like_one_in_its_place(inspector):
    golden = golden_of(BOARD.golden)
    here, there = inspector.inspect(BOARD.frame, golden), inspector.inspect(moved(BOARD.frame, 7, 4), golden)
    assert len(here) >= 5 and abs(len(here) - len(there)) <= 1
    assert float(np.median(np.abs(np.sort(there.boxes[:, 0])[: len(here)] - np.sort(here.boxes[:, 0])[: len(there)] - 7))) < 3


def test_any_size_that_is_a_multiple_of_32_and_others_too(inspector):
    for side in (128, 160, 320, 333):
        found = inspector.inspect(BOARD.frame[:side, :side].copy(), golden_of(BOARD.golden[:side, :side].copy()), gate=False)
        assert (found.boxes[:, 2] <= side + 40).all()
    with pytest.raises(Malformed, match="640x640"):
        inspector.prepare(BOARD.frame[:320], golden_of(BOARD.golden))


# ---------------------------------------------------------------- parts


def boxes(*rows) -> Detections:
    return Detections(np.array([r[:4] for r in rows], np.float32).reshape(-1, 4), np.array([r[4] for r in rows], np.int64), np.array([r[5] for r in rows], np.float32))


def test_rules_of_a_part_decide_what_is_a_defect():
    found = boxes((0, 0, 30, 30, 0, 0.9), (100, 100, 110, 108, 1, 0.9), (300, 300, 340, 340, 2, 0.55))
    keep = lambda **rules: [int(c) for c in apply_rules(found, rules, CLASSES, 0.5, (640, 640)).classes]  # noqa: E731
    assert keep() == [0, 1, 2]
    assert keep(thresholds={"mousebite": 0.6}) == [0, 1] and keep(thresholds={"open": 0.95}) == [1, 2]
    assert keep(min_size_px=20) == [0, 2]
    assert keep(ignore=[((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))]) == [0, 1]
    assert len(apply_rules(boxes(), {"min_size_px": 3, "ignore": [((0, 0), (1, 0), (1, 1))]}, CLASSES, 0.5, (640, 640))) == 0


class OnePart:
    """A part with rules, as the engine asks for parts."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __contains__(self, part_type: str) -> bool:
        return part_type == self.part.part_type

    def key(self, part_type: str) -> str:
        return f"{self.part.version}"

    def get(self, part_type: str) -> Part:
        return self.part


async def test_the_engine_takes_a_parts_variants_rules_and_their_change(tmp_path):
    png = lambda image: cv2.imencode(".png", image)[1].tobytes()  # noqa: E731
    other, own = png(draw_board(0, design=44, defects=0, clean_capture=True).golden), png(BOARD.golden)
    parts = OnePart(Part("board", (other, own), version=1))
    engine = Engine(load_bundle(DEFAULT_BUNDLE), parts, threads=1)
    await engine.start()
    task = asyncio.create_task(engine.run())
    try:
        whole = await engine.inspect("cam", "board", encoded(BOARD.frame), 1, 640, 640)
        assert whole.golden_sha256 == sha256(own).hex(), "the variant that is like the frame"
        assert len(whole.defects) >= 5
        parts.part = replace(parts.part, ignore=(((0, 0), (1, 0), (1, 1), (0, 1)),), version=2)
        assert (await engine.inspect("cam", "board", encoded(BOARD.frame), 1, 640, 640)).defects == ()
        parts.part = Part("board", (other,), version=3)
        with pytest.raises(Refused) as caught:
            await engine.inspect("cam", "board", encoded(BOARD.frame), 1, 640, 640)
        assert caught.value.reason == Reason.REGISTRATION
    finally:
        task.cancel()
        await engine.stop()


def statement(**changes) -> PartStatement:
    made = PartStatement(
        part_type="board-7", version=1, goldens=("ab" * 32,), thresholds=({"kind": "open", "at_least": 0.6},), min_size_px=3.0, ignore=(), source="lot 12",
        approved_by=("operator.anna", "operator.erik"), removed=0, issued_at_ms=0,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"part_type": ""}, {"part_type": "../x"}, {"part_type": "a\nb"}, {"part_type": "x" * 129}, {"version": 0}, {"goldens": ()}, {"goldens": ("zz",)},
        {"goldens": ("ab" * 32,) * 9}, {"thresholds": ({"kind": "open"},)}, {"thresholds": ({"kind": "open", "at_least": 1.0},)}, {"thresholds": ({"kind": "o", "at_least": True},)},
        {"min_size_px": -1.0}, {"ignore": ({"points": [[0, 0]]},)},
    ],
)  # fmt: skip
def test_parts_out_of_range(change):
    with pytest.raises(FramegateError):
        check_part(statement(**change))


def sealed(keys, part: PartStatement, purpose: str = "part") -> bytes:
    signer = keys.signing[purpose]
    return part.seal(signer.der, signer.sign)


def test_parts_that_nobody_of_this_fleet_signed_or_that_are_old(keys):
    now, root = datetime.now(UTC), keys.root.certificate
    assert verify_part(sealed(keys, statement()), root, now) == statement()
    with pytest.raises(FramegateError):
        verify_part(sealed(keys, statement(), "mask"), root, now)
    with pytest.raises(Refused) as caught:
        verify_part(sealed(keys, statement()), root, now, held={"board-7": statement(version=2)})
    assert caught.value.reason == Reason.PART


def test_parts_of_the_fleet_come_before_local_ones_and_removal_is_final(keys, tmp_path):
    now, root = datetime.now(UTC), keys.root.certificate
    local = tmp_path / "local"
    local.mkdir()
    image = cv2.imencode(".png", BOARD.golden)[1].tobytes()
    (local / "board-7.png").write_bytes(image)
    parts = FleetParts(tmp_path / "golden", GoldenImages((local,)))
    assert "board-7" in parts and parts.get("board-7").thresholds == {} and len(parts) == 1
    named = statement(goldens=(sha256(image).hex(),))
    parts.apply([sealed(keys, named)], root, now)
    assert "board-7" not in parts, "its golden image is not here yet"
    with pytest.raises(KeyError):
        parts.get("board-7")
    parts._keep(sha256(image).hex(), image)
    assert parts.get("board-7").thresholds == {"open": 0.6} and parts.key("board-7").startswith("1 ")
    with pytest.raises(Refused):
        parts.apply([sealed(keys, replace(named, version=3)), sealed(keys, named)], root, now)
    parts.apply([sealed(keys, replace(named, version=4, removed=1))], root, now)
    assert "board-7" not in parts and len(parts) == 0


def test_a_signed_golden_folder_counts_as_it_was_signed(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    image = tmp_path / "board.png"
    image.write_bytes(cv2.imencode(".png", BOARD.golden)[1].tobytes())
    with pytest.raises(Refused):
        signed_files((tmp_path,), (key.public_key(),))
    sign_folder(tmp_path, key, "lot 12", "anna")
    golden = GoldenImages((tmp_path,), signed_files((tmp_path,), (key.public_key(),)))
    assert golden.get("board").goldens and signed_files((tmp_path,), ()) is None
    image.write_bytes(cv2.imencode(".png", BOARD.frame)[1].tobytes())
    with pytest.raises(Refused, match="as it was signed"):
        golden.get("board")
    (tmp_path / "smuggled.png").write_bytes(b"x")
    assert "smuggled" not in GoldenImages((tmp_path,), {})


# ---------------------------------------------------------------- golden images learnt


def good(seed: int, dx: float = 0.0, dy: float = 0.0) -> bytes:
    return encoded(moved(draw_board(seed, design=1, defects=0, clean_capture=True).frame, dx, dy))


def test_a_golden_image_is_learnt_from_good_frames_a_foreign_one_left_out():
    frames = [good(n, n % 3, -(n % 2)) for n in range(8)]
    frames.insert(2, encoded(draw_board(1, design=44, defects=0, clean_capture=True).frame))
    png, facts = learn_golden(frames)
    assert facts["used"] == 8 and facts["left_out"] == [2] and facts["differing_share"] < 0.08
    learnt = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert register(reference(learnt), BOARD.golden).likeness > 0.9


def test_one_defect_among_good_frames_is_not_in_what_is_learnt():
    frames = [good(n) for n in range(6)] + [encoded(BOARD.frame)]
    with_defect, _ = learn_golden(frames)
    without, _ = learn_golden(frames[:6])
    a, b = (cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_GRAYSCALE) for p in (with_defect, without))
    assert float((cv2.absdiff(a, register(reference(b), a).golden) > 40).mean()) < 0.02


@pytest.mark.parametrize(("frames", "error"), [(lambda: [good(1)] * (MIN_LESSON - 1), Refused), (lambda: [b"x"] * 6, Malformed)])
def test_golden_images_are_not_learnt_from_too_little_or_nothing(frames, error):
    with pytest.raises(error):
        learn_golden(frames())


def test_frames_that_do_not_agree_teach_nothing():
    with pytest.raises(Refused, match="show the same part"):
        learn_golden([encoded(draw_board(0, design=d, defects=0, clean_capture=True).frame) for d in range(100, 106)])


async def test_a_lesson_takes_frames_of_its_part_and_ends():
    learner = GoldenLearner()
    learner.offer("board", b"before it begins")

    async def line() -> None:
        for number in range(20):
            await asyncio.sleep(0)
            learner.offer("other", b"x")
            learner.offer("board", b"%d" % number)

    async def learn() -> list[bytes]:
        async with learner.lesson("board", 6, 5) as frames:
            return list(frames)

    taken, _ = await asyncio.gather(learn(), line())
    assert len(taken) == 6 and b"before" not in b"".join(taken)
    with pytest.raises(Unavailable):
        async with learner.lesson("board", 6, 0.01):
            pass
    for frames, wait in ((2, 5), (100, 5), (6, 10_000)):
        with pytest.raises(Refused):
            async with learner.lesson("board", frames, wait):
                pass
    assert json.dumps(taken[0].decode())
