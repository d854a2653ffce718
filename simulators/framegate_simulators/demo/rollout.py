"""The rollout demonstration: an update comes to a fleet of cameras through the commands that people
use, and nobody is alarmed who should not be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from rich.console import Console

from framegate_simulators.demo.story import Story, tell
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.plant.plant import Plant, PlantError, Site, wait_for

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

    def __init__(self, plant: Plant, console: Console) -> None:
        super().__init__(plant, console)
        self.cameras: list[Site] = []
        self.rollout = ""
        self.canary: list[str] = []

    def plan(self) -> Sequence[tuple[str, str, Callable[[], str]]]:
        """The acts in order."""
        return (
            (
                "A fleet of cameras",
                f"{CAMERAS} cameras trusted under one profile, IMA lists and all",
                self.found,
            ),
            (
                "A test machine is updated and a profile learnt",
                (
                    "the new profile differs in kernel, initrd, command line and files, and lint"
                    " finds no error"
                ),
                self.learn,
            ),
            (
                "It is signed by a person and imported",
                "kept, not in force; an edited one is refused",
                self.sign,
            ),
            (
                "Tried on the past",
                "replay says that every camera would fall today, and writes nothing",
                self.replay,
            ),
            (
                "Shadow",
                "every camera is looked at under the new profile, nobody's state moves",
                self.shadow,
            ),
            (
                "Canary",
                "one camera is updated and stays trusted; its list of files goes on",
                self.begin,
            ),
            (
                "One is early",
                "a camera updated before its turn stays trusted, with a finding",
                self.early,
            ),
            (
                "One is tampered with inside the window",
                "suspect within one attestation, and the rollout pauses by itself",
                self.tampered,
            ),
            ("Repaired, released, resumed", "the camera heals, the waves go on", self.resume),
            (
                "Everybody is updated, but one",
                "enforced; the late one is overdue and still trusted",
                self.enforce,
            ),
            (
                "The old revision is retired",
                "the late one is suspect until it is updated",
                self.retire,
            ),
            (
                "The books",
                "no camera that was merely updated was ever anything but trusted or briefly stale",
                self.books,
            ),
        )

    def found(self) -> str:
        """Controller, cameras, agents."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        for n in range(1, CAMERAS + 1):
            site = p.add_machine(f"cam{n}", firmware=OLD)
            p.join(site, p.invite(site))
            p.start_agent(site)
            self.cameras.append(site)
        wait_for("all cameras to be trusted", self._all_trusted, 30)
        shown = p.ask("camera", "show", "cam1")
        if shown["vector"].get("file-system") != 2 or shown["ima_entries"] < 10:
            raise PlantError(f"the files are not appraised: {shown['vector']}")
        return (
            f"{CAMERAS} trusted, each with {shown['ima_entries']} measured files, trustworthiness"
            f" {_words(shown['vector'])}"
        )

    def learn(self) -> str:
        """Update a machine that is not in production, let it join as a suspect, learn from what it
        shows.
        """
        p = self.plant
        site = p.add_machine("lab", firmware=NEW)
        p.join(site, p.invite(site), check=False)
        if self._state("lab") != "suspect":
            raise PlantError("an unknown system must be suspect")
        new, old = p.folder / "new.toml", p.folder / "old.toml"
        old.write_text(p.framegate("profile", "show", "simulated-camera").stdout)
        p.framegate(
            "profile",
            "learn",
            "--from",
            "lab",
            "--name",
            "simulated-camera",
            "--version",
            "1.1.0",
            "--revision",
            2,
            "--out",
            new,
        )
        changes = p.ask("profile", "diff", old, new)
        errors = [
            r
            for r in json.loads(
                p.command("framegate", "profile", "lint", new, "-o", "json", check=False).stdout
            )
            if r["level"] == "error"
        ]
        self.console.print(
            "\n".join(
                f"   {line}"
                for line in changes
                if "allowlist" in line or "revocation" in line or "allows" in line
            )[:1500],
            markup=False,
        )
        if errors or not any("allowlists" in c for c in changes):
            raise PlantError(f"lint: {errors}; diff: {changes}")
        return f"{len(changes)} changes, no lint errors"

    def sign(self) -> str:
        """A signer's key, a signature, an import; then the same with one digit changed."""
        p = self.plant
        key, signed = p.folder / "carla.pem", p.folder / "new.toml.signed"
        p.command(
            "framegate-controller",
            "profile",
            "signer",
            "carla",
            "--out",
            key,
            "--state",
            p.folder / "controller",
        )
        p.framegate("profile", "sign", p.folder / "new.toml", "--key", key)
        edited = p.folder / "edited.signed"
        body = json.loads(signed.read_text())
        body["payload"] = (
            body["payload"][:200]
            + ("A" if body["payload"][200] != "A" else "B")
            + body["payload"][201:]
        )
        edited.write_text(json.dumps(body))
        refused = p.command(
            "framegate",
            "profile",
            "import",
            edited,
            "--allowlist",
            p.folder / "new.allowlist",
            check=False,
        )
        if refused.returncode == 0:
            raise PlantError("an edited profile was imported")
        p.framegate(
            "profile", "import", signed, "--allowlist", p.folder / "new.allowlist", "--for-rollout"
        )
        rows = p.ask("profile", "list")
        kept = next(r for r in rows if r["name"] == "simulated-camera" and r["revision"] == 2)
        if kept["in_force"]:
            raise PlantError("it must wait for its rollout")
        return (
            f"revision 2 signed by {kept['signer']}, kept; the edited one:"
            f" {refused.stderr.split()[0] if refused.stderr else 'refused'}"
        )

    def replay(self) -> str:
        """What the new profile would do to what the fleet showed."""
        p = self.plant
        before = p.ask("camera", "list")
        done = p.command(
            "framegate",
            "replay",
            "--profile",
            p.folder / "new.toml",
            "--since",
            "7d",
            "-o",
            "json",
            check=False,
        )
        rows = json.loads(done.stdout)
        falls = {r["device"] for r in rows if r["was"] and not r["would"] and not r["problem"]}
        rises = {r["device"] for r in rows if not r["was"] and r["would"]}
        if done.returncode != 6 or len(falls) != CAMERAS or rises != {"camera.line-1.lab"}:
            raise PlantError(
                f"exit {done.returncode}, would fall {sorted(falls)}, would rise {sorted(rises)},"
                f" {[r['problem'] for r in rows if r['problem']]}"
            )
        if [c["state"] for c in before] != [c["state"] for c in p.ask("camera", "list")]:
            raise PlantError("a replay changed a state")
        p.framegate("camera", "retire", "lab", "--yes")
        return (
            f"{len(rows)} pieces of evidence: {len(falls)} cameras would fall, the lab machine"
            " would rise; nothing written"
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
        self.rollout = started["rollout"]
        wait_for(
            "every camera's shadow result",
            lambda: all(d["shadow"] == "fail" for d in self._devices()),
            20,
        )
        if not self._all_trusted():
            raise PlantError("a shadow moved a state")
        return f"{CAMERAS} would fail today, all trusted"

    def begin(self) -> str:
        """Out of shadow; the canary is updated."""
        p = self.plant
        p.framegate("rollout", "resume", self.rollout)
        self.canary = [
            d["device"].rsplit(".", 1)[1] for d in self._devices() if d["step"] == "canary"
        ]
        for name in self.canary:
            self._update(name, NEW)
        wait_for(
            "the canary to be seen",
            lambda: all(self._seen(n) == "updated" for n in self.canary),
            20,
        )
        self.console.print(
            p.framegate("rollout", "status", self.rollout).stdout.rstrip(),
            markup=False,
            soft_wrap=True,
        )
        if any(self._state(n) != "trusted" for n in self.canary):
            raise PlantError("an updated canary must be trusted")
        return f"{', '.join(self.canary)} updated and trusted"

    def early(self) -> str:
        """Pause, so that turns do not come; a camera of the last wave is updated all the same."""
        p = self.plant
        p.framegate("rollout", "pause", self.rollout)
        name = self._turn("wave 100 %")[0]
        self._update(name, NEW)
        wait_for("an early camera", lambda: self._seen(name) == "early", 20)
        shown = p.ask("camera", "show", name)
        if shown["state"] != "trusted" or not any(
            f["actual"] == "early" for f in shown["findings"]
        ):
            raise PlantError(f"{name} is {shown['state']}, findings {shown['findings']}")
        return f"{name}: trusted, finding: {shown['findings'][0]['hint']}"

    def tampered(self) -> str:
        """An implanted kernel in the middle of the update."""
        p = self.plant
        p.framegate("rollout", "resume", self.rollout)
        wait_for("the first wave", lambda: self._status()["step"] != "canary", 20)
        self.victim = self._turn("wave 50 %")[0]
        self._update(self.victim, IMPLANTED)
        wait_for("a suspect", lambda: self._state(self.victim) == "suspect", 20)
        wait_for("the pause", lambda: self._status()["state"] == "paused", 10)
        why = p.ask("camera", "why", self.victim)
        return (
            f"{self.victim}: {why['failures'][0]['reason']}; rollout paused:"
            f" {self._status()['note']}"
        )

    def resume(self) -> str:
        """Put the victim right, release it, go on."""
        p = self.plant
        self._update(self.victim, NEW)
        p.framegate("camera", "release", self.victim, "--reason", "disk replaced")
        wait_for("the victim to heal", lambda: self._state(self.victim) == "trusted", 30)
        p.framegate("rollout", "resume", self.rollout)
        return f"{self.victim} trusted again, rollout {self._status()['state']}"

    def enforce(self) -> str:
        """Update all but one; the soak time does the rest."""
        waiting = [
            d["device"].rsplit(".", 1)[1]
            for d in self._devices()
            if d["seen"] == "waiting" and d["state"] != "retired"
        ]
        self.late = waiting[-1]
        for name in waiting[:-1]:
            self._update(name, NEW)
        wait_for("enforcement", lambda: self._status()["state"] == "enforced", 60)
        wait_for("the late one to be overdue", lambda: self._seen(self.late) == "overdue", 20)
        wait_for("all cameras to be trusted", self._all_trusted, 30)
        return f"enforced; {self.late} overdue and trusted"

    def retire(self) -> str:
        """The old revision ends."""
        p = self.plant
        p.framegate("rollout", "retire", self.rollout)
        wait_for("the late one to be suspect", lambda: self._state(self.late) == "suspect", 20)
        self._update(self.late, NEW)
        p.framegate("camera", "release", self.late)
        wait_for("all cameras to be trusted", self._all_trusted, 30)
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

    def _update(self, name: str, firmware: Firmware) -> None:
        site = self.plant.sites[name]
        self.plant.stop_agent(site)
        site.machine.reboot(firmware)
        self.plant.start_agent(site)

    def _status(self) -> dict[str, Any]:
        return dict(self.plant.ask("rollout", "status", self.rollout))

    def _devices(self) -> list[dict[str, Any]]:
        return list(self._status()["devices"])

    def _turn(self, step: str) -> list[str]:
        """Cameras whose turn is `step` and that are not updated yet."""
        found = [
            d["device"].rsplit(".", 1)[1]
            for d in self._devices()
            if d["step"] == step and d["seen"] == "waiting" and d["state"] != "retired"
        ]
        if not found:
            raise PlantError(
                f"nobody waits for {step}:"
                f" {[(d['device'], d['step'], d['seen']) for d in self._devices()]}"
            )
        return found

    def _seen(self, name: str) -> str:
        return next(
            (str(d["seen"]) for d in self._devices() if d["device"].endswith(f".{name}")), ""
        )

    def _state(self, name: str) -> str:
        return str(self.plant.ask("camera", "show", name)["state"])

    def _all_trusted(self) -> bool:
        names = {c.name for c in self.cameras}
        return all(
            c["state"] == "trusted" for c in self.plant.ask("camera", "list") if c["name"] in names
        )


def _words(vector: dict[str, int]) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(vector.items()) if v)


def main() -> None:
    """make demo-rollout."""
    tell(
        RolloutDemo,
        name="demo-rollout",
        words=(
            "A firmware update comes to a fleet: learn, sign, replay, shadow, canary, waves,"
            " enforce."
        ),
        interval_s=INTERVAL_S,
        simulated=(
            "machines and their firmware are simulated; TPMs are swtpm; agents, controller and"
            " commands are the product."
        ),
    )


if __name__ == "__main__":
    main()
