"""A line some of whose programs are still version 0.1.0's, real ones: its adapter behind gateways
of this version, and gateways of before in front of this version's adapter. Then the adapter's turn
to be replaced comes, with the ledger that the old one kept.
"""

import shutil
import signal
from pathlib import Path

import pytest

from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.plant import Plant
from support.before import programs_of
from support.paths import ROOT

pytestmark = [
    pytest.mark.swtpm,
    pytest.mark.slow,
    pytest.mark.plants,
    pytest.mark.skipif(shutil.which("swtpm") is None, reason="swtpm is not installed"),
]
PARTS = 12


class PlantOfBoth(Plant):
    """A plant whose programs named `of_before` are started out of the folder `old`."""

    def __init__(self, old: Path, of_before: set[str], **more: object) -> None:
        super().__init__(**more)
        self.old, self.of_before = old, of_before

    def start(self, name, program, *argv):
        return super().start(name, self._of(program), *argv)

    def command(self, program, *argv, **more):
        return super().command(self._of(program), *argv, **more)

    def _of(self, program):
        return str(self.old / program) if program in self.of_before else program

    def imported_by(self, name):
        """The command line of a running program."""
        return Path(f"/proc/{self.process(name).pid}/cmdline").read_bytes().decode()


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return programs_of("v0.1.0", tmp_path_factory.mktemp("before"))


@pytest.fixture
def line(request, old, tmp_path):
    plant = PlantOfBoth(old, {request.param}, interval_s=3.0, logs=tmp_path)
    with plant, plant.explained(), LinePlant(plant) as running:
        running.healed(90)
        yield running


def let_in(line, count=PARTS):
    """Let `count` parts in; what became of them, by the PLC's count and the signed verdicts."""
    since = len(line.conveyor.parts)
    line.conveyor.run(count)
    return line.outside(since)


@pytest.mark.parametrize("line", ["framegate-line"], indirect=True)
def test_n106_an_adapter_of_before_decides_by_verdicts_of_this_version(line):
    plant = line.plant
    assert str(plant.old) in plant.imported_by(f"line-{LINE}")
    assert str(ROOT) in plant.imported_by(f"gateway-{line.serving().name}")
    seen = let_in(line)
    assert seen.exact
    assert not seen.bad_let_through
    assert seen.let_through
    kept = line.ledger()
    # this version's adapter goes on with the ledger that the one of before kept
    plant.stop(f"line-{LINE}", signal.SIGTERM)
    plant.of_before.clear()
    line.start_adapter()
    line.healed()
    assert str(ROOT) in plant.imported_by(f"line-{LINE}")
    seen = let_in(line)
    assert seen.exact
    assert not seen.bad_let_through
    assert line.ledger()["parts"] >= kept["parts"] + PARTS


@pytest.mark.parametrize("line", ["framegate-gateway"], indirect=True)
def test_n106_an_adapter_of_this_version_decides_by_verdicts_of_before(line):
    plant = line.plant
    assert str(plant.old) in plant.imported_by(f"gateway-{line.serving().name}")
    seen = let_in(line)
    assert seen.exact
    assert not seen.bad_let_through
    assert seen.let_through
    # and by those of this version, once the gateways are replaced
    plant.of_before.clear()
    for gateway in line.gateways:
        plant.stop(f"gateway-{gateway.name}", signal.SIGTERM)
        line.start_gateway(gateway)
    line.healed(90)
    seen = let_in(line)
    assert seen.exact
    assert not seen.bad_let_through
