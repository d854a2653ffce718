"""A swap of the model between two frames."""

import asyncio

import pytest

from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import load_bundle
from framegate_gateway.inference.jobs import CameraFrame
from framegate_simulators.boards.boards import draw_board
from support.models import another_version, pin_of
from support.waiting import until


@pytest.mark.slow
async def test_a_swap_drops_no_frame_and_each_is_inspected_by_the_model_its_grant_names(model_gate):
    before = model_gate.models.bundle.digest.hex()
    coming = another_version(model_gate.store / "v9", 9)
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    answered, stop = [], asyncio.Event()

    async def line() -> None:
        while not stop.is_set():
            granted = (
                model_gate.switched[-1].hex()
                if model_gate.switched and len(answered) % 2
                else before
            )  # an old grant runs on beside new ones
            answered.append(
                (
                    granted,
                    await model_gate.models.inspect(
                        granted, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640)
                    ),
                )
            )

    running = asyncio.create_task(line())
    await until(lambda: len(answered) > 3)
    model_gate.apply(pin_of(coming, approved=(before,)))
    await until(lambda: model_gate.switched, 30)
    after = len(answered)
    await until(lambda: len(answered) > after + 6)
    stop.set()
    await running
    assert model_gate.models.bundle.digest == load_bundle(coming).digest and model_gate.events == [
        "model-switched"
    ]
    assert {granted for granted, _ in answered} == {before, load_bundle(coming).digest.hex()}
    assert all(inspection.golden_sha256 for _, inspection in answered), "every frame has its answer"
