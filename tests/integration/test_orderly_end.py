"""N106: every program of a line ends within five seconds of SIGTERM, under load, and comes back
without a part lost.
"""

import signal
import time

import pytest

from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
ENDS_S = 5.0


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with (
        Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant,
        plant.explained(),
        LinePlant(plant) as plant_line,
    ):
        yield plant_line


def ended_in_s(line, name) -> float:
    """SIGTERM to the end, in seconds; the process ended by itself, and well."""
    process = line.plant.process(name)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    took = time.monotonic() - begun
    assert code == 0, f"{name}: exit code {code}: {line.plant.log_tail(name)}"
    line.plant.stop(name)
    return took


@pytest.mark.parametrize("what", ["gateway", "adapter", "camera", "controller"])
def test_n106_it_ends_in_time_and_comes_back_without_a_part_lost(line, what):
    line.healed()
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
    took = ended_in_s(line, name)
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
    line.healed()
    assert took <= ENDS_S, f"{name} took {took:.1f} s"
