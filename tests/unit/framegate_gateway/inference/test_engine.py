"""The engine and its child."""

import asyncio
import os
import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate.wire import ENCODING_JPEG, ENCODING_PNG, sha256
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.answers import LESSON
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.learning import learn_golden
from framegate_gateway.inference.parts import Part
from framegate_simulators.boards.boards import CLASSES, draw_board
from support.engine import refused_image

pytestmark = pytest.mark.slow  # the child and its network are real


async def test_boards_pass_and_fail_as_they_should(engine):
    good = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    bad = draw_board(77, design=1, defects=8, clean_capture=True)
    assert (
        await engine.inspect(CameraFrame("cam", "drawn-1", good, ENCODING_JPEG, 640, 640))
    ).defects == ()
    inspection = await engine.inspect(
        CameraFrame("cam", "drawn-1", encoded(bad.frame), ENCODING_JPEG, 640, 640)
    )
    assert len(inspection.defects) >= len(bad.defects) // 2
    assert {d["kind"] for d in inspection.defects} <= set(CLASSES)
    png = cv2.imencode(".png", bad.frame)[1].tobytes()
    assert len(
        (await engine.inspect(CameraFrame("cam", "drawn-1", png, ENCODING_PNG, 640, 640))).defects
    ) == len(inspection.defects)
    picture = await engine.picture(png, ENCODING_PNG, inspection.defects)
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (640, 640, 3)


async def test_child_that_is_killed_is_replaced_and_its_frame_is_an_error(engine):
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    heard = []
    engine.told = lambda kind, said: heard.append((kind.value, said))
    os.kill(engine._child.pid, signal.SIGKILL)
    assert await refused_image(engine, jpeg) == Reason.INFERENCE
    assert (
        await engine.inspect(CameraFrame("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
    ) is not None
    assert [kind for kind, _ in heard] == ["child-died", "child-confined"]
    assert heard[1][1] == engine.isolation, "how it is confined now is told"


async def test_a_lesson_says_all_that_its_child_was_asked_for(engine):
    """Operators print each of them: one that is dropped on the way ends `framegate part learn`."""
    frames = [
        encoded(draw_board(n, design=1, defects=0, clean_capture=True).frame) for n in range(5)
    ]
    png, facts = await engine.learn(frames)
    _, here = learn_golden(frames)
    assert png.startswith(b"\x89PNG") and set(facts) == set(here) == LESSON
    assert facts["used"] == 5 and type(facts["outline"]) is list


BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


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


def band(top: float, bottom: float):
    """A strip of the picture over its whole width."""
    return ((0.0, top), (1.0, top), (1.0, bottom), (0.0, bottom))


async def test_the_engine_takes_a_parts_variants_rules_and_their_change(tmp_path):
    png = lambda image: cv2.imencode(".png", image)[1].tobytes()  # noqa: E731
    other, own = (
        png(draw_board(0, design=44, defects=0, clean_capture=True).golden),
        png(BOARD.golden),
    )
    parts = OnePart(Part("board", (other, own), version=1))
    engine = Engine(load_bundle(DEFAULT_BUNDLE), parts, threads=1)
    await engine.start()
    task = asyncio.create_task(engine.run())
    try:
        whole = await engine.inspect(CameraFrame("cam", "board", encoded(BOARD.frame), 1, 640, 640))
        assert whole.golden_sha256 == sha256(own).hex(), "the variant that is like the frame"
        assert len(whole.defects) >= 5
        assert whole.inspected_percent == 100
        parts.part = replace(parts.part, ignore=(band(0.7, 1.0),), version=2)
        fewer = await engine.inspect(CameraFrame("cam", "board", encoded(BOARD.frame), 1, 640, 640))
        assert len(fewer.defects) < len(whole.defects) and fewer.inspected_percent in {69, 70}
        assert all((d["box"][1] + d["box"][3]) / 2 < 0.7 * 640 for d in fewer.defects)
        for part, masks in (
            (replace(parts.part, ignore=(band(0.0, 1.0),), version=3), ()),
            (replace(parts.part, version=4), (band(0.0, 0.3),)),
            (replace(parts.part, ignore=(), min_size_px=64.1, version=5), ()),
        ):
            parts.part = part
            with pytest.raises(Refused) as caught:
                await engine.inspect(
                    CameraFrame("cam", "board", encoded(BOARD.frame), 1, 640, 640, masks)
                )
            assert caught.value.reason == Reason.INSPECTED_SHARE, "each alone, or both together"
        parts.part = replace(parts.part, min_size_px=0.0, version=6)
        again = await engine.inspect(CameraFrame("cam", "board", encoded(BOARD.frame), 1, 640, 640))
        assert again.defects == whole.defects, "a refusal leaves nothing behind"
        parts.part = Part("board", (other,), version=3)
        with pytest.raises(Refused) as caught:
            await engine.inspect(CameraFrame("cam", "board", encoded(BOARD.frame), 1, 640, 640))
        assert caught.value.reason == Reason.REGISTRATION
    finally:
        task.cancel()
        await engine.stop()
