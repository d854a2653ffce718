"""make demo STORE=postgres: two controllers on one database, and either of them may die.

What a gateway, cameras and an operator see of it is told with its times; at the end every part that
went in has one outcome, and the record is whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_simulators.demo.fleet_view import FleetView, told
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.fixtures.postgres import local_postgres
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.paired import SECOND, PairedPlant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for
from framegate_simulators.plant.site import Site

CAMERAS: Final = 2
INTERVAL_S: Final = 10.0
RATE: Final = 2.0
PATIENCE_S: Final = 90.0
FIRST: Final = "controller"
PICTURES: Final = 80
BACK_S: Final = 90.0
"""Within which everything has to be as before after a controller was killed."""


class Paired(Story):
    """The acts in order."""

    plant: PairedPlant

    def __init__(self, plant: PairedPlant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.plant = plant
        self.view = FleetView(plant, console, live=False)
        self.gateway: Site

    def plan(self) -> Sequence[Scene]:
        """See `Story`."""
        return (
            Scene(
                "Two controllers share a registry",
                "each has issuing CAs of its own under one root, and both serve",
                self.found,
            ),
            Scene(
                "Machines join",
                "whichever controller they reach, both know them as trusted",
                self.join,
            ),
            Scene(
                "A quarantine at one is told at the other",
                "cam2's frames are refused although the gateway hears of it from the other",
                self.quarantine,
            ),
            Scene(
                "The first controller is killed",
                "gateway and cameras go over to the second; each picture has one outcome",
                lambda: self.killed(FIRST),
            ),
            Scene(
                "It comes back, and the second is killed",
                "all of it once more, the other way round",
                lambda: self.killed(SECOND),
            ),
            Scene(
                "The record is read through",
                "the record has every entry once, in the database and in an export, and verifies",
                self.counted,
            ),
        )

    def found(self) -> str:
        """The database, both controllers."""
        p = self.plant
        p.found_pair()
        p.start_first()
        p.start_second()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        names = p.server.sql("plant", "SELECT name FROM controllers ORDER BY name").split()
        self.expect(names == ["controller-1", "controller-2"], f"controllers {names}")
        return f"{', '.join(names)} on {p.store.partition('?')[0]}"

    def join(self) -> str:
        """A gateway and two cameras."""
        p = self.plant
        self.gateway = p.add_machine("gw1", "gateway")
        self.view.cameras = [p.add_machine(f"cam{n}") for n in range(1, CAMERAS + 1)]
        for site in (self.gateway, *self.view.cameras):
            p.join(site, p.invite(site))
        p.write_golden([1, 2])
        p.start_agent(self.gateway)
        p.start_gateway(self.gateway)
        for camera in self.view.cameras:
            self.start_camera(camera)
        wait_for("frames to be inspected", self.all_inspected, PATIENCE_S)
        for first in (True, False):
            states = self.states(first=first)
            self.expect(set(states.values()) == {"trusted"}, f"{states}")
        return f"{len(states)} machines trusted at both controllers; {self.served()}"

    def quarantine(self) -> str:
        """At each controller once: for one of them the gateway listens at the other."""
        p, cam = self.plant, self.view.cameras[1]
        slowest = 0
        for first in (True, False):
            before = self.refused(cam)
            asked = time.time_ns() // 1_000_000
            who = p.only(first=first)
            p.framegate("camera", "quarantine", "cam2", "--reason", "demonstration", who=who)
            wait_for(
                "cam2's frames to be refused", partial(self.more_refused, cam, before), PATIENCE_S
            )
            slowest = max(slowest, self.last_accepted(cam) - asked)
            inspected = self.view.inspected(cam)
            p.framegate("camera", "release", "cam2", who=who)
            wait_for(
                "cam2 to be inspected again",
                partial(self.more_inspected, cam, inspected),
                PATIENCE_S,
            )
        return f"last frame accepted at most {max(0, slowest)} ms after the command was begun"

    def killed(self, name: str) -> str:
        """Begin to take so many pictures, kill -9, see what everybody sees, start it again; in the
        end each picture has one outcome.
        """
        p, cameras = self.plant, self.view.cameras
        for camera in cameras:
            p.stop_agent(camera)
            self.start_camera(camera, "--count", PICTURES)
        wait_for("frames to be inspected", self.all_inspected, PATIENCE_S)
        before = {c.name: self.view.inspected(c) for c in cameras}
        p.kill(name)
        begun = time.monotonic()
        try:
            wait_for(
                "both cameras to be inspected on",
                lambda: all(self.view.inspected(c) > before[c.name] + 2 for c in cameras),
                BACK_S,
            )
            inspected_s = time.monotonic() - begun
            life_s = 3 * p.interval_s
            time.sleep(max(0.0, life_s - inspected_s))  # what stood then is over by now
            states = self.states(first=name != FIRST)
            self.expect(set(states.values()) == {"trusted"}, f"{states}")
        finally:
            (p.start_first if name == FIRST else p.start_second)()
        wait_for("an outcome of every picture", self.all_answered, PATIENCE_S)
        return (
            f"inspected on after {inspected_s:.1f} s; all {len(states)} machines trusted after "
            f"{life_s:g} s; of {len(cameras)} x {PICTURES} pictures {told(self.view.total())}"
        )

    def counted(self) -> str:
        """Check the record, in the database and out of an export."""
        p = self.plant
        checked: dict[str, Any] = json.loads(
            p.command(
                *("framegate-controller", "store", "check"),
                *("--state", p.folder / "controller", "-o", "json"),
            ).stdout
        )
        doubled = p.server.sql("plant", "SELECT count(*) - max(id) - 1 FROM log_entries")
        self.expect(doubled == "0", f"{doubled} entries too many")
        export = p.folder / "export.jsonl"
        p.framegate("audit", "export", "--out", export)
        p.framegate("audit", "verify", export, "--root", p.folder / "controller/keys/root.pem")
        return f"{checked['entries']} entries, root {checked['root'][:16]}"

    def all_inspected(self) -> bool:
        return all(self.view.inspected(c) > 2 for c in self.view.cameras)

    def states(self, *, first: bool) -> dict[str, str]:
        """State of each machine, by one controller."""
        who = self.plant.only(first=first)
        rows = [
            row
            for kind in ("camera", "gateway")
            for row in json.loads(self.plant.framegate(kind, "list", "-o", "json", who=who).stdout)
        ]
        return {r["name"]: r["state"] for r in rows}

    def served(self) -> str:
        """How many attestations each controller answered, by its log."""
        answered = self.plant.server.sql(
            "plant", "SELECT count(*) FROM log_entries WHERE event = 'attested'"
        )
        return f"{answered} attestations so far"

    def refused(self, camera: Site) -> int:
        """UNINSPECTED(quarantined) of a camera."""
        return int(camera.status().get("uninspected", {}).get("quarantined", 0))

    def all_answered(self) -> bool:
        """Whether each camera has taken its pictures, and has as many outcomes."""
        statuses = [c.status() for c in self.view.cameras]
        return all(
            status.get("streams")
            and status["streams"][0]["captured"] == PICTURES
            and sum(status["outcomes"].values()) == PICTURES
            for status in statuses
        )

    def start_camera(self, camera: Site, *more: object) -> None:
        """Its agent, with a source of boards."""
        number = self.view.cameras.index(camera) + 1
        source = ("--design", number, "--first", number * 1000, "--rate", RATE, *more)
        program = f"exec:{SIM} camera"
        self.plant.start_agent(camera, "--source", " ".join(map(str, (program, *source))))

    def more_refused(self, camera: Site, before: int) -> bool:
        return self.refused(camera) > before

    def more_inspected(self, camera: Site, before: int) -> bool:
        return self.view.inspected(camera) > before

    def last_accepted(self, camera: Site) -> int:
        """When the last frame of a camera was inspected (ms)."""
        rows = self.plant.ask(
            "verdict", "list", "--limit", "100", "--camera", f"camera.line-1.{camera.name}"
        )
        return max(int(r["issued_at_ms"]) for r in rows if r["outcome"] != "UNINSPECTED")

    def expect(self, good: bool, seen: str) -> None:
        """Raises PlantError where something is not as it should be."""
        if not good:
            raise PlantError(seen)


@contextmanager
def paired_plant() -> Iterator[PairedPlant]:
    """A plant and its database."""
    with local_postgres() as server, PairedPlant(server, interval_s=INTERVAL_S) as plant:
        yield plant


def main() -> None:
    """make demo STORE=postgres."""
    tell(
        Paired,
        paired_plant,
        name="demo-controllers",
        summary=(__doc__ or "").splitlines()[0],
        simulated="machines with software TPMs, a plant on loopback; PostgreSQL is a real one",
    )


if __name__ == "__main__":
    run_to_its_end(main)
