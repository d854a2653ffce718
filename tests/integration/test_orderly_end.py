"""N106: every program of a line ends by itself on SIGTERM, with parts on the belt, and comes back
without a part lost. How soon it ends, `make soak` measures.
"""

import signal

import pytest

from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with (
        Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant,
        plant.explained(),
        LinePlant(plant) as plant_line,
    ):
        yield plant_line


def end(line, name) -> None:
    """SIGTERM; the process ends by itself, and well."""
    process = line.plant.process(name)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    assert code == 0, f"{name}: exit code {code}: {line.plant.log_tail(name)}"
    line.plant.stop(name)


@pytest.mark.parametrize("what", ["gateway", "adapter", "camera", "controller"])
def test_n106_it_ends_and_comes_back_without_a_part_lost(line, what):
    wait_for("the camera to have a gateway", line.streaming, 90)
    before = len(line.conveyor.parts)
    gateway = line.serving()
    name = {
        "gateway": f"gateway-{gateway.name}",
        "adapter": f"line-{LINE}",
        "camera": f"agent-{line.camera.name}",
        "controller": "controller",
    }[what]
    line.conveyor.start(20)
    wait_for("parts on the belt", lambda: len(line.conveyor.parts) >= before + 5, 60)
    end(line, name)
    if what == "gateway":
        line.start_gateway(gateway)
    elif what == "adapter":
        line.start_adapter()
    elif what == "camera":
        line.start_camera()
    else:
        line.plant.start_controller()
    line.conveyor.finish_count()
    outside = line.outside(before)
    assert outside.exact and outside.parts_in == 20
    wait_for("the camera to have a gateway again", line.streaming, 90)
    wait_for("every part to be decided", lambda: line.ledger()["open"] == 0, 60)
    assert line.plant.process(name).poll() is None
