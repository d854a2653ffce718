"""N145: answers of the inference child are input."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason, Unavailable
from framegate.wire import ENCODING_JPEG
from framegate_agent.camera.pictures import encoded
from framegate_gateway.inference.answers import (
    MAX_DETECTIONS,
    MAX_HEAD_BYTES,
    MAX_PICTURE_BYTES,
    Asked,
    BadAnswer,
    Refusal,
    parse_head,
    verify_answer,
    verify_sizes,
    verify_start,
)
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.recipe import Output, PictureInput, Recipe, Tensor
from framegate_simulators.attack import rogue_worker
from framegate_simulators.attack.rogue_worker import LIES
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden

ROGUE = rogue_worker.__file__
PNG = b"\x89PNG\r\n\x1a\n"


def asked(kind: str, **head) -> Asked:
    recipe = Recipe("boards", 1, ("short", "open"), 0.5, 32)
    return Asked({"id": 7, "kind": kind, **head}, 2, recipe.defects, recipe)


def defect(**changes):
    return {"kind": "short", "score": 0.5, "box": [1, 2, 3, 4.5], **changes}


INSPECT = asked("inspect", width=640, height=480)
LOOKS = {"residual": 12.5, "golden-noise": -0.02}
SOUND = {"id": 7, "golden_taken": True, "golden": 1, "defects": [defect()], "looks": LOOKS}


def test_a_sound_answer_passes():
    verify_answer(INSPECT, SOUND, b"")
    verify_answer(INSPECT, {**SOUND, "defects": []}, b"")
    verify_answer(INSPECT, {**SOUND, "part_percent": 60}, b"")
    verify_answer(INSPECT, {"id": 7, "golden_taken": False, "failed": "image", "why": "no"}, b"")
    pair = {"id": 7, "golden_taken": True, "golden": 0, "shape": [1, 2, 480, 640]}
    prepare = asked("prepare", width=640, height=479)
    verify_answer(prepare, pair, bytes(4 * 2 * 480 * 640))
    verify_answer(
        asked("known"), {"id": 7, "golden_taken": False, "known_answers": 1, "steady": True}, b""
    )
    facts = {"used": 5, "left_out": [3], "largest_shift_px": 1.5, "differing_share": 0.1}
    facts["outline"] = [{"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}]
    facts |= {"tolerant_percent": 0, "most_tolerated": 24}
    lesson = asked("learn", sizes=[1] * 6)
    verify_answer(lesson, {"id": 7, "golden_taken": False, **facts}, PNG)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 8},
        {"id": True},
        {"golden_taken": 1},
        {"golden": 2},
        {"golden": -1},
        {"golden": None},
        {"golden": True},
        {"defects": None},
        {"defects": {}},
        {"defects": [defect()] * (MAX_DETECTIONS + 1)},
        {"defects": [[]]},
        {"defects": [defect(more=1)]},
        {"defects": [defect(kind="scratch")]},
        {"defects": [defect(kind=["short"])]},
        {"defects": [defect(score=1.01)]},
        {"defects": [defect(score=-0.1)]},
        {"defects": [defect(score=float("nan"))]},
        {"defects": [defect(score="0.5")]},
        {"defects": [defect(score=True)]},
        {"defects": [defect(box=[1, 2, 3])]},
        {"defects": [defect(box=[3, 2, 1, 4])]},
        {"defects": [defect(box=[1, 4, 3, 2])]},
        {"defects": [defect(box=[-1, 2, 3, 4])]},
        {"defects": [defect(box=[1, 2, 641, 4])]},
        {"defects": [defect(box=[1, 2, 3, 481])]},
        {"defects": [defect(box=[1, 2, float("inf"), 4])]},
        {"defects": [defect(box=[1, 2, 10**400, 4])]},
        {"part_percent": 59},
        {"part_percent": 101},
        {"part_percent": True},
        {"part_percent": "80"},
        {"part_percent": 80.5},
        {"looks": None},
        {"looks": []},
        {"looks": {"glance": 1.0}},
        {"looks": {"residual": float("nan")}},
        {"looks": {"residual": "1"}},
        {"looks": {"residual": True}},
        {"looks": {"residual": 1e5}},
        {"looks": {"golden-noise": -1.5}},
        {"failed": "quarantined", "why": "x"},
        {"failed": "image", "why": "x" * 401},
        {"failed": "image", "why": "two\nlines"},
        {"failed": "image", "why": "\u202eright to left"},
        {"failed": "image"},
        {"failed": ["image"], "why": "x"},
        {"failed": None, "why": "x"},
    ],
)
def test_n145_an_answer_out_of_shape_or_range_is_none(changes):
    with pytest.raises(BadAnswer):
        verify_answer(INSPECT, {**SOUND, **changes}, b"")


@pytest.mark.parametrize(
    ("question", "head", "body"),
    [
        (INSPECT, SOUND, b"x"),
        (asked("prepare", width=640, height=480), {"shape": [1, 2, 480, 608], "golden": 0}, b""),
        (asked("prepare", width=640, height=480), {"shape": [1, 2, 480, 640], "golden": 0}, b"1"),
        (asked("prepare", width=640, height=480), {"shape": [1, 2, 480], "golden": 0}, b""),
        (asked("known-pair"), {"shape": [2, 2, 32, 32]}, bytes(16384)),
        (asked("known-pair"), {"shape": [1, 2, 33, 32]}, bytes(8448)),
        (asked("known-pair"), {"shape": [1, 2, -32, -32]}, bytes(8192)),
        (asked("known-pair"), {"shape": [1, 2, 32.0, 32]}, bytes(8192)),
        (asked("known-pair"), {}, b""),
        (asked("known"), {"known_answers": 24, "steady": True}, b""),
        (asked("known"), {"known_answers": 1, "steady": 1}, b""),
        (asked("known"), {"known_answers": 1}, b""),
        (asked("known"), {}, b""),
        (asked("known-check"), {"known_answers": 24, "steady": True}, b""),
        (asked("known-check"), {"known_answers": 1, "steady": None}, b""),
        (asked("picture"), {}, b"GIF89a"),
        (asked("card"), {}, b""),
        (asked("learn", sizes=[1] * 5), {"used": 6, "left_out": []}, PNG),
        (asked("learn", sizes=[1] * 5), {"used": 5, "left_out": [5]}, PNG),
        (asked("learn", sizes=[1] * 5), {"used": 5, "left_out": []}, PNG),
    ],
)
def test_n145_an_answer_to_another_question_is_none(question, head, body):
    with pytest.raises(BadAnswer):
        verify_answer(question, {"id": 7, "golden_taken": True, **head}, body)


@pytest.mark.parametrize(
    ("question", "head", "body"),
    [
        (INSPECT, 0, 0),
        (INSPECT, MAX_HEAD_BYTES + 1, 0),
        (INSPECT, 10, 1),
        (None, 10, 1),
        (asked("picture"), 10, MAX_PICTURE_BYTES + 1),
        (asked("prepare", width=64, height=64), 10, 4 * 2 * 64 * 64 + 1),
    ],
)
def test_n145_no_memory_is_set_aside_for_an_answer_that_is_too_large(question, head, body):
    with pytest.raises(BadAnswer):
        verify_sizes(question, head, body)


def test_a_first_word():
    ready = {"ready": True, "isolation": "no files", "known_answers": 24, "provider": ""}
    assert verify_start(ready, b"", 24).isolation == "no files"
    refusal = verify_start({"failed": "model", "why": "no"}, b"", 24)
    assert refusal == Refusal(Reason.MODEL, "no")
    for changes in (
        {"ready": 1},
        {"isolation": "a\nb"},
        {"isolation": None},
        {"known_answers": 3},
        {"known_answers": True},
        {"more": 1},
        {"failed": "conflict", "why": ""},
    ):
        with pytest.raises(BadAnswer):
            verify_start({**ready, **changes}, b"", 24)
    with pytest.raises(BadAnswer):
        verify_start(ready, b"x", 24)


@given(st.binary(max_size=200))
def test_n145_bytes_are_an_object_or_a_bad_answer(raw):
    with contextlib.suppress(BadAnswer):
        assert type(parse_head(raw)) is dict


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
MEMBERS = ("id", "golden_taken", "golden", "defects", "failed", "why", "shape", "known_answers")


@given(
    st.sampled_from(["inspect", "prepare", "known", "known-pair", "picture", "learn", "finish"]),
    st.dictionaries(st.sampled_from(MEMBERS), values),
    st.binary(max_size=64),
)
def test_n145_whatever_comes_is_an_answer_or_a_bad_one(kind, head, body):
    question = asked(kind, width=64, height=64, sizes=[1] * 5)
    with contextlib.suppress(BadAnswer):
        verify_answer(question, {"id": 7, "golden_taken": True, **head}, body)


SIZES = ["huge head", "huge body"]
KINDS = ["no JSON", "nested", "another's number", "defect of no class", *SIZES]
"""One lie that each step of reading an answer finds; all of them are a child each, see `parse_head`
and `verify_answer` above for what the others are."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "lies", [KINDS, pytest.param([*LIES, *SIZES], marks=pytest.mark.plants)], ids=["kinds", "all"]
)
async def test_n145_one_bad_answer_ends_the_child_and_not_the_gateway(tmp_path, monkeypatch, lies):
    """A gateway whose every child but the last lies, each in another way."""
    write_golden(tmp_path, [1])
    engine = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), threads=1)
    starting, started = subprocess.Popen, []

    def popen(argv, **options):
        if len(started) < len(lies):
            at = argv.index("-m")
            argv = [sys.executable, ROGUE, lies[len(started)], *argv[at + 2 :]]
        started.append(starting(argv, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    await engine.start()
    serving = asyncio.create_task(engine.run())
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    for number, said in enumerate(lies):
        with pytest.raises(Unavailable) as caught:
            await engine.inspect(CameraFrame("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
        assert caught.value.reason == Reason.INFERENCE, said
        assert started[number].returncode == -9, said
    # the next child is sound, and so is the gateway
    inspection = await engine.inspect(CameraFrame("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
    assert inspection.golden_sha256 and len(started) == len(lies) + 1
    serving.cancel()
    await engine.stop()


def test_n145_heat_is_a_grid_of_an_anomaly_model_and_few_have_one():
    tensors = (Tensor("score", (1,)), Tensor("map", (1, 1, 8, 8)))
    recipe = Recipe(
        "surface",
        1,
        ("anomaly",),
        0.5,
        kind=Kind.ANOMALY,
        input=PictureInput("image", 64, 64),
        output=Output("anomalib", tensors),
    )
    question = Asked({"id": 7, "kind": "finish"}, 1, recipe.defects, recipe)
    hot = {"kind": "anomaly", "score": 0.9, "box": [1, 2, 3, 4]}
    heat = [{**hot, "heat": ["0f"]}, hot]
    sound = {"id": 7, "golden_taken": True, "defects": heat, "looks": {}}
    verify_answer(question, sound, b"")
    bad = [
        [{**hot, "heat": ["\x1b[31m"]}],
        [{**hot, "heat": ["0" * 13]}],
        [{**hot, "heat": ["0f"]}] * 9,
        [{**hot, "heats": ["0f"]}],
    ]
    for defects in bad:
        with pytest.raises(BadAnswer):
            verify_answer(question, {**sound, "defects": defects}, b"")
    with pytest.raises(BadAnswer):  # a pair's network has none
        verify_answer(INSPECT, {**SOUND, "defects": [defect(heat=["0f"])]}, b"")
