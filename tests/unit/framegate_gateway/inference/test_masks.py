"""A camera that only says it masked."""

import asyncio

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate_agent.camera.masking import blank
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.boards import draw_board
from support.vault import CAMERA


async def test_a_camera_that_only_says_it_masked_is_caught_and_golden_images_are_masked_alike(
    tmp_path,
):
    board = draw_board(5, design=1, defects=0, clean_capture=True)
    cv2.imwrite(str(tmp_path / "t.png"), board.golden)
    engine = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)))
    await engine.start()
    task = asyncio.create_task(engine.run())
    polygons = (((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)),)
    masked = board.frame.copy()
    blank(masked, polygons)

    def jpeg(image):
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()

    assert (
        await engine.inspect(CameraFrame(CAMERA, "t", jpeg(masked), 1, 640, 640, polygons))
    ).defects == ()
    with pytest.raises(Refused) as caught:
        await engine.inspect(CameraFrame(CAMERA, "t", jpeg(board.frame), 1, 640, 640, polygons))
    assert caught.value.reason == Reason.MASK
    with pytest.raises(Refused) as caught:  # N109: a covered lens
        await engine.inspect(
            CameraFrame(CAMERA, "t", jpeg(np.full((640, 640), 9, np.uint8)), 1, 640, 640)
        )
    assert caught.value.reason == Reason.IMAGE_COVERED
    task.cancel()
    await engine.stop()
