"""make demo-watch: four attacks on one plant, and everything that watches: the record, a SIEM over
TLS, Prometheus, a playbook with a cap, incidents and figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.demo.watched_plant import (
    BURST,
    PATIENCE_S,
    PLAYBOOK,
    SINK,
    WatchedPlant,
)
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError, wait_for

INTERVAL_S: Final = 4.0
FOLDED_S: Final = 150.0
"""The record tells of guesses in the same minute together, when the next one has begun."""
STUCK_AFTER: Final = 6
GUESSES: Final = 6
HELD: Final = 2
"""Cameras: one that the playbook holds by itself, one on a person's word."""
BOOT_LOADER: Final = {"event-unclaimed", "event-absent"}
"""What evidence fails by, where a boot loader was replaced."""
HOLD: Final = f"""\
name = "{PLAYBOOK}"
summary = "hold cameras that contradict their profile or show old pictures"
mode = "act"
do = ["keep-evidence", "quarantine", "notify"]
cooldown = "1h"
[when]
event = ["contradicted", "frame-frozen"]
[cap]
devices = 1
share = 100
[undo]
keep-evidence = "none: what is kept longer harms nobody"
quarantine = "release"
notify = "none: what was told is known"
"""
SHOWN: Final = (
    "sign-in-failed",
    "approval-taken",
    "behaviour-noticed",
    "contradicted",
    "frame-frozen",
    "playbook-step",
    "playbook-asked",
    "incident-opened",
)
"""Events of the four attacks and of what answered them, one of each at least."""


class WatchDemo(Story):
    """The acts in the order in which they are told."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.at = WatchedPlant(plant, console)

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "A plant that is watched",
                "three cameras are inspected; a syslog server over TLS and Prometheus follow",
                self.at.begin,
            ),
            Scene(
                "A playbook is put in force",
                "by two: it holds one machine an hour by itself, and asks for more",
                self.put_in_force,
            ),
            Scene(
                "An intruder guesses a password",
                "locked out, and what was guessed before is in the record",
                self.guess,
            ),
            Scene(
                "An insider exports in a burst",
                "each frame is approved; the fifth in an hour is noticed all the same",
                self.export,
            ),
            Scene(
                "A camera is tampered with",
                "its boot log contradicts its profile; the playbook holds it, within its cap",
                self.tamper,
            ),
            Scene(
                "A stream freezes",
                "old pictures are found; beyond its cap the playbook asks, and a person decides",
                self.freeze,
            ),
            Scene(
                "The SIEM has it",
                "every entry over TLS, and the copy proves itself against the record's head",
                self.siem,
            ),
            Scene(
                "Prometheus has it",
                "the same events in metrics, and alerts of them",
                self.metrics,
            ),
            Scene(
                "An incident tells the story",
                "what was found, what the playbook did, who closed it",
                self.incident,
            ),
            Scene(
                "Figures",
                "how soon it was found and contained, by the record",
                self.figures,
            ),
        )

    def put_in_force(self) -> str:
        """Enable, approve, enable."""
        file = self.plant.folder / "hold.toml"
        file.write_text(HOLD)
        self.plant.framegate("playbook", "test", file)
        request = self.at.by_two("playbook", "enable", file)
        (row,) = self.plant.ask("playbook", "list")
        if row["mode"] != "act" or row["approvers"] != ["sven"]:
            raise PlantError(f"not in force by two: {row}")
        return f"sara asked, sven approved {request}: mode act, at most 1 machine an hour"

    def guess(self) -> str:
        """Somebody guesses at sara's password; sara goes on."""
        p, wrong = self.plant, self.plant.folder / "wrong"
        wrong.write_text("not her password at all\n")
        guessed = ["login", "sara", "--context", self.at.cast.signed_out_context("guesser")]
        said = [
            p.command(
                "framegate", *guessed, "--password-file", wrong, "--code", "000000", check=False
            )
            for _ in range(GUESSES)
        ]
        if any(s.returncode == 0 for s in said) or "locked-out" not in said[-1].stderr:
            raise PlantError(f"the guesses were answered {[s.stderr[:80] for s in said]}")
        p.framegate("whoami", who=self.at.cast.who["sara"])
        return f"{GUESSES} guesses, the last one answered 'locked-out'; sara goes on"

    def export(self) -> str:
        """Frames go out one after the other, each with an approval that was too easily given."""
        rows = wait_for("frames", self.at.exportable, PATIENCE_S)
        for number, row in enumerate(rows[:BURST]):
            out = self.plant.folder / f"out-{number}.png"
            self.at.by_two(
                "frame", "export", row, "--reason", "claim", "--to", "quality", "--out", out
            )
            if not out.stat().st_size:
                raise PlantError(f"{out} is empty")
        noticed = wait_for("it to be noticed", self.at.noticed, PATIENCE_S)
        return f"{BURST} frames, each approved; behaviour-noticed: {noticed}"

    def tamper(self) -> str:
        """Reboot cam2 into a changed boot loader."""
        p, cam = self.plant, self.at.cast.cameras[1]
        p.stop_agent(cam)
        cam.machine.reboot(cam.machine.firmware.tampered())
        p.start_agent(cam)
        wait_for("the playbook to hold cam2", lambda: p.state_of(cam) == "quarantined", PATIENCE_S)
        done = wait_for("its steps to be done", lambda: self.at.steps("cam2", "done"), PATIENCE_S)
        reasons = {f["reason"] for f in p.ask("camera", "why", "cam2")["failures"]}
        others = [c.name for c in self.at.cast.cameras if p.state_of(c) == "quarantined"]
        if reasons != BOOT_LOADER or others != ["cam2"] or self.at.entries("playbook-asked"):
            raise PlantError(f"{reasons}; held {others}; asked {self.at.entries('playbook-asked')}")
        return (
            f"{', '.join(sorted(reasons))}; {PLAYBOOK} did"
            f" {', '.join(s['action'] for s in done)} on cam2, 1 of 1 of its cap"
        )

    def freeze(self) -> str:
        """cam3's driver hands out old buffers."""
        p, cam = self.plant, self.at.cast.cameras[2]
        p.stop_agent(cam)
        p.start_agent(cam, "--source", f"{self.at.source(3)} --stuck-after {STUCK_AFTER}")
        asked = wait_for("the playbook to ask", lambda: self.at.steps("cam3", "asked"), PATIENCE_S)
        if p.state_of(cam) == "quarantined":
            raise PlantError("the playbook held cam3 beyond its cap")
        p.framegate(
            "access",
            "approve",
            asked[0]["request"],
            "--reason",
            "saw the pictures",
            who=self.at.cast.who["sven"],
        )
        wait_for("cam3 to be held", lambda: p.state_of(cam) == "quarantined", PATIENCE_S)
        honest = self.at.cast.cameras[0]
        seen = self.at.cast.inspected(honest)
        wait_for("cam1 to go on", lambda: self.at.cast.inspected(honest) > seen, PATIENCE_S)
        return f"frame-frozen; asked in {asked[0]['request']}, held on sven's word; cam1 goes on"

    def siem(self) -> str:
        """Events by what they are, then the whole copy against the signed head."""
        p = self.plant
        wait_for("the guesses", lambda: self.at.guesses_told() >= GUESSES - 1, FOLDED_S, every_s=1)
        p.framegate("siem", "test", SINK, who=self.at.cast.who["sara"])

        def missing() -> list[str]:
            came = {e["metadata"]["event_code"] for e in self.at.syslog.events()}
            return [name for name in SHOWN if name not in came]

        wait_for(f"{', '.join(SHOWN)} at the server", lambda: not missing(), PATIENCE_S)
        verified = wait_for("the copy to prove itself", self.at.verified, PATIENCE_S, every_s=1)
        return f"{self.at.syslog.program}: {len(self.at.syslog.events())} events; {verified}"

    def metrics(self) -> str:
        """Counters, and the alerts that come of them."""
        look = self.at.monitoring

        def counted() -> dict[str, float]:
            counts = {
                name: look.value("sum", "framegate_events_total", f'event="{name}"')
                for name in ("behaviour-noticed", "contradicted", "frame-frozen", "playbook-step")
            }
            return {
                "sign-ins failed": look.value("sum", "framegate_sign_ins_failed_total"),
                "quarantined": look.value("sum", "framegate_devices", 'state="quarantined"'),
                **counts,
            }

        least = {"sign-ins failed": GUESSES - 1, "quarantined": HELD}
        wait_for(
            "all to be counted",
            lambda: all(n >= least.get(k, 1) for k, n in counted().items()),
            PATIENCE_S,
            every_s=1,
        )
        told = ", ".join(f"{name} {count:g}" for name, count in counted().items())
        if not look.alerts:
            return f"{look.what}: {told}; alert rules are not evaluated"
        wait_for("the alert", lambda: look.alert("FramegateMachinesHeld"), PATIENCE_S, every_s=1)
        return f"{told}; FramegateMachinesHeld is {look.alert('FramegateMachinesHeld')}"

    def incident(self) -> str:
        """The incident of cam2: shown, assigned, closed."""
        p, sara = self.plant, self.at.cast.who["sara"]
        rows = {r["about"]: r for r in p.ask("incident", "list")}
        if not {"camera.line-1.cam2", "camera.line-1.cam3"} <= rows.keys():
            raise PlantError(f"incidents about {sorted(rows)}")
        for about, note in (
            ("camera.line-1.cam2", "boot loader replaced; sent to the lab"),
            ("camera.line-1.cam3", "the driver hands out old buffers"),
        ):
            number = rows[about]["incident"]
            p.framegate("incident", "assign", number, "sara", who=sara)
            closing = ("--verdict", "true-positive", "--note", note)
            p.framegate("incident", "close", number, *closing, who=sara)
        number = rows["camera.line-1.cam2"]["incident"]
        shown = p.framegate("incident", "show", number).stdout
        self.at.cast.show(shown)
        body = p.ask("incident", "show", number)
        told = {e["event"]: e["actor"] for e in body["entries"]}
        wanted = {"contradicted", "quarantine", "incident-assigned", "incident-closed"}
        if not wanted <= told.keys() or told["quarantine"] != f"playbook.{PLAYBOOK}":
            raise PlantError(f"the incident tells {told}")
        if body["verdict"] != "true-positive":
            raise PlantError(f"the incident came to {body['verdict']!r}")
        return f"incident {number}: {len(body['entries'])} entries, closed as true-positive"

    def figures(self) -> str:
        """Both incidents in the figures."""
        names = ("detect", "contain", "acknowledge")

        def whole() -> dict[str, Any]:
            real: dict[str, Any] = self.plant.ask("kpi")["real"]
            return real if all(real[k]["n"] >= HELD for k in names) else {}

        own = wait_for("gateways to report that they accept no more", whole, PATIENCE_S, every_s=1)
        self.at.cast.show(self.plant.framegate("kpi").stdout)
        return ", ".join(f"{k} {_seconds(own[k])}" for k in names)


def _seconds(times: dict[str, Any]) -> str:
    """A distribution in words."""
    values = times.get("values") or [times["median"]]
    return ", ".join(f"{v / 1000:.1f} s" for v in values if v is not None) or "none"


def main() -> None:
    """make demo-watch."""
    tell(
        WatchDemo,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-watch",
        summary="Four attacks on a plant, and everything that watches.",
        simulated=(
            "machines, boards, people's typing and their authenticator apps; TPMs are swtpm;"
            " controller, gateway, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
