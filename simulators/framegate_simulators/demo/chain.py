"""The demonstration: a plant on loopback, told act by act. Ends by itself; exit code 0 only if
every act ended as it should.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.panel import Panel

from framegate_host.console import Terminal
from framegate_simulators.demo.fleet_view import FleetView, told
from framegate_simulators.demo.own_images import SOURCE_LIMIT, frames_of, inspect_folder
from framegate_simulators.demo.story import Scene, Story
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for
from framegate_simulators.plant.site import Site

CAMERAS: Final = 4
INTERVAL_S: Final = 4.0
"""Attest interval of the demonstration; the default of a real fleet is 60 s."""
RATE: Final = 1.5
PATIENCE_S: Final = 90.0
"""How long an act is waited for. It takes seconds; a machine that does ten other things at once is
no fault of the plant's.
"""


class Demo(Story):
    """Runs the acts in order; each returns what was observed, or raises PlantError."""

    def __init__(
        self, plant: Plant, build: Path, source: Path | None, console: Terminal, live: bool
    ) -> None:
        super().__init__(plant, console)
        self.build, self.source = build, source
        self.view = FleetView(plant, console, live)
        self.gateway: Site
        self.figures: dict[str, Any] = {}

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        plan: list[Scene] = [
            Scene(
                "A fleet is founded",
                "controller and broker up, TPM maker's CA trusted",
                self.found_fleet,
            ),
            Scene("Machines join", f"{CAMERAS} cameras and a gateway host are trusted", self.join),
            Scene(
                "Frames are inspected",
                (
                    "every camera has signed verdicts, PASS and DEFECT among them, and a picture is"
                    " saved"
                ),
                self.inspect,
            ),
        ]
        if self.source is not None:
            plan.append(
                Scene(
                    "Your images are inspected",
                    f"every image of the folder, up to {SOURCE_LIMIT}, has a signed verdict",
                    self.own_images,
                )
            )
        plan += [
            Scene(
                "A boot loader is replaced",
                "cam4 is suspect, and `camera why` names the boot loader",
                self.implant,
            ),
            Scene(
                "A camera is quarantined",
                "its stream turns UNINSPECTED within moments and heals on release",
                self.quarantine,
            ),
            Scene(
                "A disk is copied",
                "another machine with cam1's disk and certificate is refused; cam1 stays trusted",
                self.copied_disk,
            ),
            Scene(
                "The controller is killed",
                "nothing is passed unseen meanwhile, and everything heals without help",
                self.controller_killed,
            ),
            Scene(
                "The gateway's host is tampered with",
                "cameras stop sealing frames for it",
                self.gateway_tampered,
            ),
        ]
        return plan

    def found_fleet(self) -> str:
        """init, run, broker, trust add-tpm-ca."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        p.start_broker()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        return f"fleet plant, attest interval {p.interval_s:g} s"

    def join(self) -> str:
        """Deliver machines, invite, join; the second camera by its TPM certificate alone, with an
        operator's approval.
        """
        p = self.plant
        self.figures["joined_at"] = time.monotonic()
        self.gateway = p.add_machine("gw1", "gateway")
        self.view.cameras = [p.add_machine(f"cam{n}") for n in range(1, CAMERAS + 1)]
        for site in (self.gateway, *self.view.cameras):
            bound = site.name != "cam2"
            p.join(site, p.invite(site, bind=bound), check=bound)
            if not bound:
                p.framegate("camera", "approve", site.name)
            how = (
                "ticket bound to its EK"
                if bound
                else "TPM maker's certificate, then an operator's approval"
            )
            self.console.print(f"   {site.name} joined by {how}")
        p.write_golden([1, 2, 3, 4])
        p.start_agent(self.gateway)
        p.start_gateway(self.gateway, golden=[p.golden, *([self.source] if self.source else [])])
        for number, camera in enumerate(self.view.cameras, start=1):
            p.start_agent(
                camera,
                "--source",
                f"exec:{SIM} camera --design {number} --first {number * 1000} --rate {RATE}",
            )
        wait_for(
            "all machines to be trusted",
            lambda: set(self.view.states().values()) == {"trusted"},
            PATIENCE_S,
        )
        self.view.show_machines()
        return ", ".join(f"{n} {s}" for n, s in self.view.states().items())

    def inspect(self) -> str:
        """Wait for verdicts of every camera; save the picture of a defect."""
        p = self.plant
        wait_for(
            "a first verdict",
            lambda: any(self.view.inspected(c) for c in self.view.cameras),
            PATIENCE_S,
        )
        self.figures["enrol_to_first_verdict_s"] = round(
            time.monotonic() - self.figures.pop("joined_at"), 2
        )
        self.view.watching(
            "verdicts of every camera",
            lambda: all(
                {"PASS", "DEFECT"} <= set(self.view.outcomes(c)) for c in self.view.cameras
            ),
            PATIENCE_S,
        )
        defects = p.ask("verdict", "list", "--outcome", "DEFECT")
        best = max(defects, key=lambda v: len(v["defects"]))
        picture = self.build / "demo-defect.png"
        p.framegate("verdict", "picture", best["verdict_id"], "--out", picture)
        self.console.print(
            p.framegate("verdict", "list", "--limit", "6").stdout.rstrip(),
            markup=False,
            soft_wrap=True,
        )
        kinds = ", ".join(d["kind"] for d in best["defects"])
        return (
            f"{sum(self.view.total().values())} verdicts, {told(self.view.total())}; picture of"
            f" {best['part']} ({kinds}): {picture}"
        )

    def own_images(self) -> str:
        """Inspect the user's folder on a camera of its own."""
        folder = inspect_folder(self.plant, self.view, self.source or Path())
        self.figures["own_images"] = dict(folder.outcomes)
        sent = sum(folder.outcomes.values())
        return f"{sent} of {folder.images} images sent, {told(folder.outcomes)}"

    def implant(self) -> str:
        """Reboot cam4 into a changed boot loader."""
        p, cam = self.plant, self.view.cameras[3]
        p.stop_agent(cam)
        cam.machine.reboot(cam.machine.firmware.tampered())
        p.start_agent(cam)
        wait_for("cam4 to be suspect", lambda: cam.status().get("state") == "suspect", PATIENCE_S)
        why = p.framegate("camera", "why", "cam4", check=False)
        self.console.print(why.stdout.rstrip(), markup=False, soft_wrap=True)
        reasons = {f["reason"] for f in p.ask("camera", "why", "cam4")["failures"]}
        if (
            why.returncode != 6
            or reasons != {"event-unclaimed", "event-absent"}
            or "boot loader" not in why.stdout
        ):
            raise PlantError(f"exit code {why.returncode}, reasons {reasons}")
        return f"suspect: {', '.join(sorted(reasons))}"

    def quarantine(self) -> str:
        """Quarantine cam3, measure, release."""
        p, cam = self.plant, self.view.cameras[2]
        p.framegate("camera", "quarantine", "cam3", "--reason", "demonstration")
        refused = wait_for(
            "UNINSPECTED(quarantined) of cam3",
            lambda: cam.status().get("uninspected", {}).get("quarantined", 0),
            PATIENCE_S,
        )
        events = p.ask("events", "--device", "cam3")
        at = next(e["at_ms"] for e in events if e["event"] == "quarantine")
        accepted = [
            v["issued_at_ms"]
            for v in p.ask("verdict", "list", "--limit", "100", "--camera", "camera.line-1.cam3")
            if v["outcome"] != "UNINSPECTED"
        ]
        last = max(0, max(accepted, default=at) - at)
        self.figures["quarantine_to_last_accept_ms"] = last
        before = self.view.inspected(cam)
        p.framegate("camera", "release", "cam3")
        wait_for(
            "cam3 to be inspected again", lambda: self.view.inspected(cam) > before, PATIENCE_S
        )
        if last > 2000:
            raise PlantError(f"a frame was accepted {last} ms after the quarantine")
        return (
            f"last frame accepted {last} ms after the quarantine, {refused}"
            " UNINSPECTED(quarantined), inspected again after release"
        )

    def copied_disk(self) -> str:
        """Copy cam1's disk into a machine with another TPM."""
        p, cam = self.plant, self.view.cameras[0]
        clone = p.add_machine("clone")
        shutil.copytree(cam.disk, clone.disk, dirs_exist_ok=True)
        p.start_agent(clone)
        reasons = wait_for(
            "the copy to be refused",
            lambda: [f[0] for f in clone.status().get("failures", [])],
            PATIENCE_S,
        )
        p.stop_agent(clone)
        if reasons != ["ek-unknown"] or p.state_of(cam) != "trusted" or self.view.outcomes(clone):
            raise PlantError(f"copy {reasons}, cam1 {p.state_of(cam)}")
        return f"copy refused: {reasons[0]}; cam1 is trusted"

    def controller_killed(self) -> str:
        """kill -9 the controller, wait until the gate has closed, start it again."""
        p, three = self.plant, self.view.cameras[:3]
        reasons = {c.name: Counter(c.status().get("uninspected", {})) for c in three}
        p.stop("controller", signal.SIGKILL)

        def new(camera: Site) -> Counter[str]:
            return Counter(camera.status().get("uninspected", {})) - reasons[camera.name]

        wait_for("frames to be UNINSPECTED", lambda: all(new(c) for c in three), PATIENCE_S)
        seen = sorted({reason for c in three for reason in new(c)})
        before = {c.name: self.view.inspected(c) for c in three}
        p.start_controller()
        wait_for(
            "three cameras to be inspected again",
            lambda: all(self.view.inspected(c) > before[c.name] for c in three),
            PATIENCE_S,
        )
        wait_for(
            "three cameras to be trusted",
            lambda: all(self.view.states()[c.name] == "trusted" for c in three),
            PATIENCE_S,
        )
        return (
            f"frames were UNINSPECTED({', '.join(seen)}) without the controller, and are inspected"
            " again"
        )

    def gateway_tampered(self) -> str:
        """Reboot the gateway's host into a changed boot loader."""
        p, gw, three = self.plant, self.gateway, self.view.cameras[:3]
        p.stop("gateway-gw1")
        p.stop_agent(gw)
        gw.machine.reboot(gw.machine.firmware.tampered())
        p.start_agent(gw)
        p.start_gateway(gw)
        wait_for(
            "the host to be suspect", lambda: gw.status().get("state") == "suspect", PATIENCE_S
        )
        before = {
            c.name: (self.view.inspected(c), c.status()["uninspected"].get("no-grant", 0))
            for c in three
        }
        wait_for(
            "cameras to withhold frames",
            lambda: all(
                c.status()["uninspected"].get("no-grant", 0) > before[c.name][1] + 1 for c in three
            ),
            PATIENCE_S,
        )
        if any(self.view.inspected(c) != before[c.name][0] for c in three) or any(
            s["gateway"] for c in three for s in c.status()["streams"]
        ):
            raise PlantError("a camera still sealed frames for it")
        self.view.show_machines()
        return "gw1 is suspect; every camera says UNINSPECTED(no-grant) and sends it nothing"


def main() -> None:
    """make demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source", type=Path, help="a folder of images to inspect beside the drawn boards"
    )
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    if args.source is not None and not args.source.is_dir():
        print(
            f"expected SOURCE=DIR with images, got {args.source}, which is no folder",
            file=sys.stderr,
        )
        raise SystemExit(2)
    if args.source is not None and not frames_of(args.source):
        print(
            f"expected images (JPEG, PNG or BMP) in {args.source}, found none; X_temp.jpg files are"
            " golden images, not frames",
            file=sys.stderr,
        )
        raise SystemExit(2)
    args.build.mkdir(parents=True, exist_ok=True)
    live = sys.stdout.isatty() and not os.environ.get("CI")
    console = Terminal(
        force_terminal=None if live else False, width=None if live else 160, highlight=False
    )
    console.print(
        Panel(
            "SIMULATED here: the machines, their firmware images and boots, the TPM chips (swtpm, a"
            " software TPM 2.0), their maker's CA, and the boards, which are drawn.\nREAL: every"
            " Framegate program, TPM 2.0 commands, evidence, certificates, mutual TLS with keys"
            " inside the TPM, the broker, the model and its verdicts.",
            title="Framegate",
        )
    )
    begun = time.monotonic()
    logs = args.build / "demo-logs"
    shutil.rmtree(logs, ignore_errors=True)
    with Plant(interval_s=INTERVAL_S, logs=logs) as plant:
        demo = Demo(
            plant, args.build, args.source.resolve() if args.source else None, console, live
        )
        good = demo.run()
        console.print()
        console.print(demo.table())
        figures = {k: v for k, v in demo.figures.items() if k != "joined_at"}
        outcomes = demo.view.total() if demo.view.cameras else Counter()
        body = {
            "acts": [asdict(a) for a in demo.acts],
            "ok": good,
            **figures,
            "frames": sum(outcomes.values()),
            "verdicts": dict(outcomes),
            "seconds": round(time.monotonic() - begun, 1),
            "versions": {
                p: version(p)
                for p in (
                    "framegate",
                    "grpcio",
                    "cryptography",
                    "onnxruntime",
                    "tpm2-pytss",
                    "numpy",
                )
            }
            | {"python": platform.python_version()},
        }
    (args.build / "demo.json").write_text(json.dumps(body, indent=1) + "\n")
    console.print(
        f"\n{sum(a.ok for a in demo.acts)} of {len(demo.acts)} acts as they should,"
        f" {body['seconds']} s; {args.build}/demo.json, logs in {logs}"
    )
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    run_to_its_end(main)
