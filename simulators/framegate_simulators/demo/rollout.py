"""The rollout demonstration: an update comes to a fleet of cameras through the commands that people
use, and nobody is alarmed who should not be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from framegate_host.console import Terminal
from framegate_simulators.demo import new_profile
from framegate_simulators.demo.rolling_fleet import RollingFleet
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError, wait_for

CAMERAS: Final = 6
INTERVAL_S: Final = 2.0
SOAK_S: Final = 5
OLD: Final = Firmware("simulated-camera")
NEW: Final = replace(
    OLD,
    kernel="kernel 6.12.10",
    initrd="initrd 6.12.10",
    command_line="/vmlinuz-6.12.10 root=UUID=5d1c ro lockdown=integrity",
    release="12.10",
    revocations=4,
)
IMPLANTED: Final = replace(NEW, kernel="kernel 6.12.10 (implanted)")


class RolloutDemo(Story):
    """Runs the acts in order; each returns what was observed, or raises PlantError."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.fleet = RollingFleet(plant)
        self.canary: list[str] = []

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "A fleet of cameras",
                f"{CAMERAS} cameras trusted under one profile, IMA lists and all",
                self.found_fleet,
            ),
            Scene(
                "A test machine is updated and a profile learnt",
                (
                    "the new profile differs in kernel, initrd, command line and files, and lint"
                    " finds no error"
                ),
                lambda: new_profile.learn(self.fleet, NEW, self.console),
            ),
            Scene(
                "It is signed by a person and imported",
                "kept, not in force; an edited one is refused",
                lambda: new_profile.sign(self.fleet),
            ),
            Scene(
                "Tried on the past",
                "replay says that every camera would fall today, and writes nothing",
                lambda: new_profile.replay(self.fleet),
            ),
            Scene(
                "Shadow",
                "every camera is looked at under the new profile, nobody's state moves",
                self.shadow,
            ),
            Scene(
                "Canary",
                "one camera is updated and stays trusted; its list of files goes on",
                self.begin,
            ),
            Scene(
                "One is early",
                "a camera updated before its turn stays trusted, with a finding",
                self.early,
            ),
            Scene(
                "One is tampered with inside the window",
                "suspect within one attestation, and the rollout pauses by itself",
                self.tampered,
            ),
            Scene("Repaired, released, resumed", "the camera heals, the waves go on", self.resume),
            Scene(
                "Everybody is updated, but one",
                "enforced; the late one is overdue and still trusted",
                self.enforce,
            ),
            Scene(
                "The old revision is retired",
                "the late one is suspect until it is updated",
                self.retire,
            ),
            Scene(
                "The books",
                "no camera that was merely updated was ever anything but trusted or briefly stale",
                self.books,
            ),
        )

    def found_fleet(self) -> str:
        """Controller, cameras, agents."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        for n in range(1, CAMERAS + 1):
            site = p.add_machine(f"cam{n}", firmware=OLD)
            p.join(site, p.invite(site))
            p.start_agent(site)
            self.fleet.cameras.append(site)
        wait_for("all cameras to be trusted", self.fleet.all_trusted, 30)
        shown = p.ask("camera", "show", "cam1")
        if shown["vector"].get("file-system") != 2 or shown["ima_entries"] < 10:
            raise PlantError(f"the files are not appraised: {shown['vector']}")
        return (
            f"{CAMERAS} trusted, each with {shown['ima_entries']} measured files, trustworthiness"
            f" {_counts(shown['vector'])}"
        )

    def shadow(self) -> str:
        """The new revision is tried on what comes."""
        p = self.plant
        started = p.ask(
            "rollout",
            "start",
            "simulated-camera",
            "--canary",
            1,
            "--waves",
            "50,100",
            "--max-fail",
            1,
            "--soak",
            f"{SOAK_S}s",
            "--shadow",
        )
        self.fleet.rollout = started["rollout"]
        wait_for(
            "every camera's shadow result",
            lambda: all(d["shadow"] == "fail" for d in self.fleet.devices()),
            20,
        )
        if not self.fleet.all_trusted():
            raise PlantError("a shadow moved a state")
        return f"{CAMERAS} would fail today, all trusted"

    def begin(self) -> str:
        """Out of shadow; the canary is updated."""
        p = self.plant
        p.framegate("rollout", "resume", self.fleet.rollout)
        self.canary = [
            d["device"].rsplit(".", 1)[1] for d in self.fleet.devices() if d["step"] == "canary"
        ]
        for name in self.canary:
            self.fleet.update(name, NEW)
        wait_for(
            "the canary to be seen",
            lambda: all(self.fleet.seen(n) == "updated" for n in self.canary),
            20,
        )
        self.console.print(
            p.framegate("rollout", "status", self.fleet.rollout).stdout.rstrip(),
            markup=False,
            soft_wrap=True,
        )
        if any(self.fleet.state_of(n) != "trusted" for n in self.canary):
            raise PlantError("an updated canary must be trusted")
        return f"{', '.join(self.canary)} updated and trusted"

    def early(self) -> str:
        """Pause, so that turns do not come; a camera of the last wave is updated all the same."""
        p = self.plant
        p.framegate("rollout", "pause", self.fleet.rollout)
        name = self.fleet.waiting_for("wave 100 %")[0]
        self.fleet.update(name, NEW)
        wait_for("an early camera", lambda: self.fleet.seen(name) == "early", 20)
        shown = p.ask("camera", "show", name)
        if shown["state"] != "trusted" or not any(
            f["actual"] == "early" for f in shown["findings"]
        ):
            raise PlantError(f"{name} is {shown['state']}, findings {shown['findings']}")
        return f"{name}: trusted, finding: {shown['findings'][0]['hint']}"

    def tampered(self) -> str:
        """An implanted kernel in the middle of the update."""
        p = self.plant
        p.framegate("rollout", "resume", self.fleet.rollout)
        wait_for("the first wave", lambda: self.fleet.status()["step"] != "canary", 20)
        self.victim = self.fleet.waiting_for("wave 50 %")[0]
        self.fleet.update(self.victim, IMPLANTED)
        wait_for("a suspect", lambda: self.fleet.state_of(self.victim) == "suspect", 20)
        wait_for("the pause", lambda: self.fleet.status()["state"] == "paused", 10)
        why = p.ask("camera", "why", self.victim)
        return (
            f"{self.victim}: {why['failures'][0]['reason']}; rollout {self.fleet.status()['note']}"
        )

    def resume(self) -> str:
        """Put the victim right, release it, go on."""
        p = self.plant
        self.fleet.update(self.victim, NEW)
        p.framegate("camera", "release", self.victim, "--reason", "disk replaced")
        wait_for("the victim to heal", lambda: self.fleet.state_of(self.victim) == "trusted", 30)
        p.framegate("rollout", "resume", self.fleet.rollout)
        return f"{self.victim} trusted again, rollout {self.fleet.status()['state']}"

    def enforce(self) -> str:
        """Update all but one; the soak time does the rest."""
        waiting = [
            d["device"].rsplit(".", 1)[1]
            for d in self.fleet.devices()
            if d["seen"] == "waiting" and d["state"] != "retired"
        ]
        self.late = waiting[-1]
        for name in waiting[:-1]:
            self.fleet.update(name, NEW)
        wait_for("enforcement", lambda: self.fleet.status()["state"] == "enforced", 60)
        wait_for("the late one to be overdue", lambda: self.fleet.seen(self.late) == "overdue", 20)
        wait_for("all cameras to be trusted", self.fleet.all_trusted, 30)
        return f"enforced; {self.late} overdue and trusted"

    def retire(self) -> str:
        """The old revision ends."""
        p = self.plant
        p.framegate("rollout", "retire", self.fleet.rollout)
        wait_for(
            "the late one to be suspect", lambda: self.fleet.state_of(self.late) == "suspect", 20
        )
        self.fleet.update(self.late, NEW)
        p.framegate("camera", "release", self.late)
        wait_for("all cameras to be trusted", self.fleet.all_trusted, 30)
        return f"{self.late} was suspect, is updated and trusted"

    def books(self) -> str:
        """Read the events: who was ever suspect."""
        events = self.plant.ask("events", "--limit", 1000)
        suspects = Counter(e["device"].rsplit(".", 1)[1] for e in events if e["to"] == "suspect")
        if set(suspects) != {"lab", self.victim, self.late}:
            raise PlantError(f"ever suspect: {dict(suspects)}")
        return (
            f"ever suspect: the lab machine, the tampered {self.victim}, and {self.late} after the"
            " end of its window; nobody else"
        )


def _counts(vector: dict[str, int]) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(vector.items()) if v)


def main() -> None:
    """make demo-rollout."""
    tell(
        RolloutDemo,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-rollout",
        summary=(
            "A firmware update comes to a fleet: learn, sign, replay, shadow, canary, waves,"
            " enforce."
        ),
        simulated=(
            "machines and their firmware are simulated; TPMs are swtpm; agents, controller and"
            " commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
