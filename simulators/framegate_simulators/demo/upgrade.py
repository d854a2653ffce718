"""make demo-upgrade: a plant of the version before becomes one of this version while it runs, one
program after another: two controllers on one database, gateway, camera.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.fixtures.postgres import LocalPostgres, local_postgres
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.paired import SECOND, PairedPlant
from framegate_simulators.plant.processes import BIN, PlantError, wait_for
from framegate_simulators.plant.site import Site

BEFORE: Final = Path("build/before")
"""Where `scripts/before.sh` puts the version before, with an environment of its own."""
INTERVAL_S: Final = 3.0
PATIENCE_S: Final = 120.0
RATE: Final = 2
PROFILE: Final = "firmware_profiles/simulators-camera-1.0.0.toml"
FIRST: Final = "controller"


class MixedPlant(PairedPlant):
    """A plant whose programs are of the version before, until `bin` is this version's."""

    def __init__(self, server: LocalPostgres) -> None:
        super().__init__(server, interval_s=INTERVAL_S)
        self.bin = (BEFORE / ".venv/bin").absolute()
        if not (self.bin / "framegate-controller").exists():
            raise PlantError(f"expected the version before in {BEFORE}: make demo-upgrade puts it")

    def start(self, name: str, program: str, *argv: object) -> subprocess.Popen[bytes]:
        """See `Processes.start`."""
        return super().start(name, self._of(program), *argv)

    def command(
        self, program: str, *argv: object, check: bool = True, context: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """See `Operators.command`."""
        return super().command(self._of(program), *argv, check=check, context=context)

    def _of(self, program: str) -> str:
        path = self.bin / program
        return str(path) if path.exists() else program


class UpgradeDemo(Story):
    """The acts in the order in which they are told."""

    plant: MixedPlant

    def __init__(self, plant: MixedPlant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.camera: Site
        self.gateway: Site

    def plan(self) -> Sequence[Scene]:
        """See `Story.plan`."""
        return (
            Scene("A plant of the version before", "its frames are inspected", self.before),
            Scene(
                "A controller of this version beside it",
                "both answer; what either keeps, the one of before verifies again",
                self.beside,
            ),
            Scene(
                "The controller of before ends",
                "its machines go over, frames go on, nothing has to be enrolled again",
                self.over,
            ),
            Scene(
                "Both controllers are of this version",
                "evidence of either version verifies, the record is whole",
                self.both,
            ),
            Scene(
                "Gateway and camera are upgraded",
                "the same machines, trusted, with the same state folders",
                self.machines,
            ),
            Scene(
                "The controller of before is started once more",
                "it says that the registry is a later version's, and changes nothing",
                self.refused,
            ),
        )

    def before(self) -> str:
        """Everything is of the version before."""
        p = self.plant
        p.found_pair()
        p.start_first()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem", check=False)
        self.gateway, self.camera = p.add_machine("gw1", "gateway"), p.add_machine("cam1")
        for site in (self.gateway, self.camera):
            p.join(site, p.invite(site))
        p.write_golden([1])
        self._start_machines()
        version = p.command("framegate-controller", "--version").stdout.strip()
        return f"{version}; {self._more(0)} frames inspected"

    def beside(self) -> str:
        """The first of this version brings the schema up to date under the other."""
        p = self.plant
        p.bin, of_before = BIN, p.bin
        p.start_second()
        for _ in range(3):
            self._attested(first=False)
        p.bin = of_before
        count = self._replayed("cam1", first=True)
        return f"the one of before verifies all {count} pieces again; {self._more()} frames"

    def over(self) -> str:
        """SIGTERM, as a service manager does."""
        p = self.plant
        p.stop(FIRST, signal.SIGTERM)
        count = self._more()
        wait_for("trust without it", lambda: self._state(first=False) == "trusted", PATIENCE_S)
        return f"{count} frames by now; cam1 is trusted by {SECOND}"

    def both(self) -> str:
        """The first is started as this version, on its folder."""
        p = self.plant
        p.bin = BIN
        p.start_first()
        self._attested(first=True)
        count = self._replayed("cam1", first=True)
        checked = p.command(
            "framegate-controller",
            "store",
            "check",
            "--state",
            p.folder / FIRST,
            "--store",
            p.store,
        )
        return f"{count} pieces verify; {(checked.stdout + checked.stderr).strip()}"

    def machines(self) -> str:
        """One after the other, each with the folder that the version before wrote."""
        p = self.plant
        p.stop(f"gateway-{self.gateway.name}")
        for site in (self.gateway, self.camera):
            p.stop_agent(site)
        self._start_machines()
        count = self._more(0)
        wait_for("trust", lambda: self._state(first=True) == "trusted", PATIENCE_S)
        version = p.command("framegate-agent", "--version").stdout.strip()
        return f"{version}; {count} frames inspected, cam1 is trusted"

    def refused(self) -> str:
        """A downgrade by mistake."""
        p = self.plant
        p.stop(FIRST)
        p.bin = (BEFORE / ".venv/bin").absolute()
        try:
            p.start_first()
        except PlantError as error:
            said = str(error)
        else:
            raise PlantError("it runs on a registry that it does not know")
        finally:
            p.bin = BIN
        lines = [line.strip() for line in said.splitlines() if "a registry of schema" in line]
        if not lines:
            raise PlantError(said)
        p.start_first()
        return lines[0]

    def _start_machines(self) -> None:
        p = self.plant
        p.start_agent(self.gateway)
        wait_for("the agent's socket", p.agent_socket(self.gateway).exists, PATIENCE_S)
        p.start_gateway(self.gateway)
        drawn = f"--design 1 --first 1000 --rate {RATE}"
        program = shlex.quote(f"{p.bin}/framegate-sim")
        p.start_agent(self.camera, "--source", f"exec:{program} camera {drawn}")

    def _more(self, since: int | None = None) -> int:
        """How many frames were inspected, after some more of them were."""
        before = self._inspected() if since is None else since
        wait_for("more inspected frames", lambda: self._inspected() > before + 2, PATIENCE_S)
        return self._inspected()

    def _inspected(self) -> int:
        outcomes = self.camera.status().get("outcomes", {})
        return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))

    def _state(self, *, first: bool) -> str:
        return str(self._told(first=first)["state"])

    def _told(self, *, first: bool) -> dict[str, Any]:
        p = self.plant
        told = p.command(
            "framegate", "camera", "show", "cam1", "-o", "json", context=p.only(first=first)
        )
        return dict(json.loads(told.stdout))

    def _attested(self, *, first: bool) -> None:
        """Ask for fresh evidence at one controller, and wait for it."""
        p, before = self.plant, self.plant.only(first=first)
        p.command("framegate", "camera", "attest-now", "cam1", context=before)
        wait_for("fresh evidence", lambda: self._state(first=first) == "trusted", PATIENCE_S)

    def _replayed(self, name: str, *, first: bool) -> int:
        """How many pieces of evidence a controller verifies once more. Raises PlantError."""
        p = self.plant
        told = p.command(
            *("framegate", "replay", "--device", name, "--profile", PROFILE, "-o", "json"),
            context=p.only(first=first),
        )
        rows = json.loads(told.stdout)
        wrong = [r for r in rows if r["problem"] or not r["would"]]
        if wrong or not rows:
            raise PlantError(f"of {len(rows)} pieces {len(wrong)} do not verify: {wrong[:1]}")
        return len(rows)


@contextmanager
def mixed() -> Iterator[MixedPlant]:
    """A plant on a database of its own."""
    with local_postgres() as server, MixedPlant(server) as plant:
        yield plant


def main() -> None:
    """make demo-upgrade."""
    tell(
        UpgradeDemo,
        mixed,
        name="demo-upgrade",
        summary="A plant becomes one of this version while it runs.",
        simulated=(
            "machines and boards; TPMs are swtpm, the database is PostgreSQL; both versions'"
            " controllers, gateways, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
