"""A plant with a line and a web console before it: people who sign in, machines that things happen
to.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Final

from framegate.segment.policy import FILE as SEGMENTS
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.plant.line_plant import LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, free_port, wait_for
from framegate_simulators.plant.segment_plan import segment_text
from framegate_simulators.plant.site import Site

PATIENCE_S: Final = 240.0
RATE: Final = 1.0
"""Parts a second of the line, so that a person can follow them."""
SLOW_RATE: Final = 0.4
"""Boards a second of each camera beside it."""
WALL: Final = "wall"
MASKS: Final = """
[[region]]
points = [[0.62, 0.05], [0.97, 0.05], [0.97, 0.3], [0.62, 0.3]]
"""


class ConsolePlant:
    """`LinePlant`, cameras cam2 and cam3 that send by themselves, and a console on loopback. Use as
    a context manager inside the plant's. anna founds; sara is security and engineer, olga operator,
    vito viewer.
    """

    def __init__(self, plant: Plant) -> None:
        self.plant, self.line = plant, LinePlant(plant, rate=RATE)
        self.port = free_port()
        self.who: dict[str, Path] = {}
        self.cameras: list[Site] = []

    @property
    def address(self) -> str:
        """Where browsers come to."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> ConsolePlant:
        p = self.plant
        write_golden(p.golden, [2, 3])
        with contextlib.ExitStack() as begun:
            begun.enter_context(self.line)
            for number in (2, 3):
                site = p.add_machine(f"cam{number}")
                p.join(site, p.invite(site))
                drawn = f"--design {number} --first {number * 1000} --rate {SLOW_RATE}"
                p.start_agent(site, "--source", f"exec:{SIM} camera {drawn}")
                self.cameras.append(site)
            self.add_people()
            self.add_segment()
            self.start_console()
            self.line.conveyor.start()
            wait_for("verdicts of all cameras", self._all_inspected, PATIENCE_S)
            begun.pop_all()
        return self

    def __exit__(self, *exit_: object) -> None:
        self.line.__exit__(*exit_)

    def start_console(self, *extra: object) -> None:
        """framegate-console run; again on the same port."""
        p = self.plant
        ready = p.folder / "console-ready.json"
        ready.unlink(missing_ok=True)
        wall = ["--wall", self.who[WALL]] if WALL in self.who else []
        argv = ["run", "--context", p.context, "--listen", f"127.0.0.1:{self.port}", *wall]
        p.start("console", "framegate-console", *argv, "--ready-file", ready, *extra)
        p.wait_until_up("console", ready.exists)

    def tamper(self, site: Site) -> None:
        """Somebody changes what a camera's machine boots."""
        p = self.plant
        p.stop_agent(site)
        site.machine.reboot(site.machine.firmware.tampered())
        p.start_agent(site)
        wait_for("it to be found", lambda: p.state_of(site) == "suspect", PATIENCE_S)

    def ask_for_masks(self) -> str:
        """sara asks for masks of cam1; the request's id, which somebody else has to approve."""
        p = self.plant
        file = p.folder / "masks.toml"
        file.write_text(MASKS)
        because = ("--reason", "the aisle behind the line is in the picture")
        return self._asked("mask", "set", "cam1", file, *because)

    def add_people(self) -> None:
        """sara by anna alone, who is the only one; from then on it takes two."""
        p = self.plant
        self.who["sara"] = p.add_person("sara", "security", "engineer", "auditor")
        asks = ("access", "request", "--role", "admin", "--for", "8h", "--reason", "people join")
        asked = p.framegate(*asks, "-o", "json", who=self.who["sara"])
        p.framegate("access", "approve", json.loads(asked.stdout)["id"])
        for name, role in (("olga", "operator"), ("vito", "viewer"), (WALL, "viewer")):
            self.who[name] = self._added_by_two(name, role)

    def add_segment(self) -> None:
        """sara puts a segment into the policy, staged, and anna approves it. No enforcer runs here:
        what the map shows are the ways that the policy has.
        """
        p, folder = self.plant, self.plant.folder / "policy"
        p.framegate("policy", "pull", "--out", folder, who=self.who["sara"])
        modes = dict.fromkeys(("cameras", "gateways", "control", "plc"), "stage")
        (folder / SEGMENTS).write_text(segment_text(modes=modes))
        apply = ("policy", "apply", folder, "--note", "the segment of line 1, staged")
        p.framegate("access", "approve", self._asked(*apply))
        p.framegate(*apply, who=self.who["sara"])

    def _added_by_two(self, name: str, role: str) -> Path:
        """sara adds somebody, and anna approves it; their context."""
        p = self.plant
        p.framegate("access", "approve", self._asked("operator", "add", name, "--role", role))
        return p.add_person(name, role, by=self.who["sara"])

    def _asked(self, *argv: object) -> str:
        """The id of the request that came of what sara may not do alone."""
        done = self.plant.framegate(*argv, check=False, who=self.who["sara"])
        asked = re.search(r"access approve ([0-9a-f]+)", done.stderr)
        if asked is None:
            raise PlantError(f"no request in: {done.stderr}")
        return asked[1]

    def hold(self, site: Site, why: str) -> None:
        """olga holds a camera."""
        self.plant.framegate(
            "camera", "quarantine", site.name, "--reason", why, who=self.who["olga"]
        )

    def latest(self, outcome: str) -> str:
        """The id of the latest verdict of that outcome; empty where there is none."""
        told = self.plant.framegate(
            "verdict", "list", "--outcome", outcome, "--limit", "30", "-o", "json", check=False
        )
        rows = json.loads(told.stdout) if told.returncode == 0 else []
        return str(rows[min(12, len(rows) - 1)]["verdict_id"]) if rows else ""

    def _all_inspected(self) -> bool:
        sites = [self.line.camera, *self.cameras]
        return all(_inspected(s) for s in sites)


def _inspected(site: Site) -> bool:
    outcomes = site.status().get("outcomes", {})
    return bool(outcomes.get("PASS") or outcomes.get("DEFECT"))
