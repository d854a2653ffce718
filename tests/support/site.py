"""A running plant with the people who care for it."""

import subprocess

import pytest

from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for


class Site:
    """A plant with a gateway, a camera that streams, and three people: anna (founder), sara
    (security), erik (engineer).
    """

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        plant.found_fleet()
        plant.start_controller()
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
        self.gateway, self.camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
        for site in (self.gateway, self.camera):
            plant.join(site, plant.invite(site))
        plant.write_golden([1])
        plant.start_agent(self.gateway)
        plant.start_gateway(self.gateway)
        plant.start_agent(self.camera, "--source", f"exec:{SIM} camera --design 1 --rate 2")
        self.sara = plant.add_person("sara", "security")
        wait_for("verdicts", lambda: self.inspected(), 40)

    def outcomes(self) -> dict[str, int]:
        return dict(self.camera.status().get("outcomes", {}))

    def inspected(self) -> int:
        return self.outcomes().get("PASS", 0) + self.outcomes().get("DEFECT", 0)

    def uninspected(self) -> int:
        return self.outcomes().get("UNINSPECTED", 0)

    def goes_on(self) -> None:
        before = self.inspected()
        wait_for("frames to be inspected", lambda: self.inspected() > before + 2, 40)

    def request(self, text: str) -> str:
        tokens = text.replace(";", " ").split()
        return tokens[tokens.index("approve") + 1]

    def by_two(self, *argv: object) -> subprocess.CompletedProcess[str]:
        """Refused alone, approved by sara, done."""
        p = self.plant
        alone = p.framegate(*argv, check=False)
        assert alone.returncode != 0 and "approval-needed" in alone.stderr, alone.stderr
        p.framegate(
            "access", "approve", self.request(alone.stderr), "--reason", "agreed", who=self.sara
        )
        return p.framegate(*argv)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One plant for a file of tests."""
    with Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant, plant.explained():
        yield Site(plant)
