"""make demo-line: a line in the terminal. Camera, link, gateway, broker and adapter die one after
the other; a gateway lies; an export is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.panel import Panel

from framegate_host.console import Terminal
from framegate_simulators.demo.belt_view import BeltView
from framegate_simulators.demo.story import Scene, Story
from framegate_simulators.plant.line_plant import LINE, TARGETS, LinePlant
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError, wait_for

PARTS_AN_ACT: Final = 24
OWED_BYTES: Final = 512
"""A session's file that is larger than its head line holds frames that are not signed for yet."""
MASK: Final = "[[region]]\npoints = [[0.0, 0.0], [0.25, 0.0], [0.25, 0.2], [0.0, 0.2]]\n"


@dataclass(frozen=True, slots=True)
class OfflineCheck:
    """What an auditor learns of a camera from an export and the fleet's root: how many receipts
    hold, which are refused, and the frames missing by session.
    """

    good: int
    refused: list[dict[str, Any]]
    missing: dict[str, list[int]]

    def __str__(self) -> str:
        return f"{self.good} hold, refused {self.refused[:3]}, missing {self.missing}"


class DemoLine(Story):
    """Runs the acts in order."""

    def __init__(self, line: LinePlant, build: Path, console: Terminal, live: bool) -> None:
        super().__init__(line.plant, console)
        self.line, self.build, self.masked = line, build, ""
        self.belt = BeltView(line, console, live)

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "Parts go by",
                "good parts pass, bad ones are diverted, counts agree with the ledger",
                self.parts_go_by,
            ),
            *(
                Scene(
                    f"kill -9: {target}",
                    "nothing uninspected is let through; parts pass again by themselves",
                    partial(self.die, target),
                )
                for target in TARGETS
            ),
            Scene(
                "Every verdict can be proved",
                "all receipts of the camera verify offline, no frame is missing",
                self.prove,
            ),
            Scene(
                "The camera is masked",
                "frames leave with the region blanked, and receipts say under which masks",
                self.mask,
            ),
            Scene(
                "A frame is exported",
                (
                    "marked, with its receipt; refused without a reason, elsewhere, and beyond the"
                    " quota"
                ),
                self.export,
            ),
            *(
                Scene(
                    f"A gateway lies: {lie}",
                    "framegate receipt verify finds it",
                    partial(self.lie, lie),
                )
                for lie in ("alter", "invent", "drop")
            ),
        )

    def parts_go_by(self) -> str:
        """An undisturbed run."""
        with self.belt.shown():
            self.line.conveyor.start(PARTS_AN_ACT)
            self.line.conveyor.finish_count()
        outside, ledger = self.line.outside(), self.line.ledger()
        if (
            not outside.exact
            or outside.let_through < PARTS_AN_ACT // 3
            or ledger["parts"] != outside.parts_in
            or ledger["open"]
        ):
            raise PlantError(f"outside {outside}, ledger {ledger}")
        return self.said(0)

    def die(self, target: str) -> str:
        """Kill one thing in the middle of a run."""
        before = len(self.line.conveyor.parts)
        with self.belt.shown():
            self.line.conveyor.start(PARTS_AN_ACT)
            time.sleep(PARTS_AN_ACT / self.line.rate / 3)
            what = self.line.kill(target)
            self.line.conveyor.finish_count()
            self.line.healed()
        outside = self.line.outside(before)
        if not outside.exact:
            raise PlantError(
                f"let through uninspected: {[p.part for p in outside.uninspected]}, {outside}"
            )
        return f"{what} killed; {self.said(before)}"

    def prove(self) -> str:
        """Export the camera's receipts and verify them as an auditor would, with nothing but the
        fleet's root.
        """
        self.end_sessions()
        check = self.verify("receipts.jsonl", self.line.cameras[0])
        if check.refused or check.missing or not check.good:
            raise PlantError(str(check))
        return f"{check.good} receipts hold, no frame missing; {self.build}/receipts.jsonl"

    def mask(self) -> str:
        """Set masks and wait for a verdict under them."""
        file = self.plant.folder / "mask.toml"
        file.write_text(MASK)
        self.plant.framegate("mask", "set", "cam1", file)
        wait_for(
            "the camera to have its masks", lambda: self.line.camera.status().get("masks") == 1, 20
        )
        wait_for("the camera to have a gateway", self.line.streaming, 30)

        def masked() -> dict[str, Any] | None:
            self.line.conveyor.run(4)
            for verdict in self.plant.ask("verdict", "list", "--limit", "8"):
                shown = self.plant.framegate(
                    "receipt", "show", verdict["verdict_id"], "-o", "json", check=False
                )
                if (
                    shown.returncode == 0
                    and json.loads(shown.stdout)["claims"]["fg"]["mask_version"] == 1
                    and verdict["outcome"] != "UNINSPECTED"
                ):
                    return dict(verdict)
            return None

        verdict = wait_for("a verdict on a masked frame", masked, 40)
        picture = self.build / "demo-line-verdict.png"
        self.plant.framegate("verdict", "show", verdict["verdict_id"], "--picture", picture)
        self.masked = str(verdict["verdict_id"])
        return f"{verdict['outcome']} under masks version 1; picture {picture}"

    def export(self) -> str:
        """One export that is allowed, and three that are not."""
        if not self.masked:
            raise PlantError("no verdict on a masked frame to export: see the act before")
        out = self.build / "demo-line-export.png"
        tries = {
            "no reason": ("--reason", " ", "--to", "quality"),
            "elsewhere": ("--reason", "claim 17", "--to", "usb-stick"),
            "allowed": ("--reason", "claim 17", "--to", "quality"),
            "again": ("--reason", "claim 17", "--to", "quality"),
            "beyond the quota": ("--reason", "claim 17", "--to", "quality"),
        }
        codes = {}
        for name, arguments in tries.items():
            done = self.plant.framegate(
                "frame", "export", self.masked, *arguments, "--out", out, check=False
            )
            codes[name] = done.returncode
        if codes != {
            "no reason": 2,
            "elsewhere": 4,
            "allowed": 0,
            "again": 0,
            "beyond the quota": 4,
        }:
            raise PlantError(f"exit codes {codes}")
        return f"exported to {out}; refused: no reason, another destination, a third frame"

    def lie(self, lie: str) -> str:
        """Replace the process on one honest host by a liar, let parts by, and verify its
        receipts.
        """
        p, (liar, honest) = self.plant, self.line.gateways
        for gateway in (liar, honest):
            p.stop(f"gateway-{gateway.name}")
        p.start_link(liar) if f"link-{liar.name}" not in p.running else None
        port, operator_port = p.gateway_ports(liar)
        state = liar.machine.folder / f"liar-{lie}"
        p.start(
            f"gateway-{liar.name}",
            "framegate-sim",
            "lying-gateway",
            "--lie",
            lie,
            "--agent-socket",
            p.agent_socket(liar),
            "--golden",
            p.golden,
            "--port",
            port,
            "--operator-port",
            operator_port,
            "--state",
            state,
        )
        wait_for(
            "the camera to trust the host",
            lambda: self.line.streaming() and self.line.serving() is liar,
            40,
        )
        self.line.conveyor.run(12)
        self.end_sessions()
        check = self.verify(f"lie-{lie}.jsonl", self.line.cameras[0])
        checks = sorted({b["check"] for b in check.refused})
        caught = {
            "alter": checks == ["camera-path"],
            "invent": bool(checks) and set(checks) <= {"camera-path", "camera-head"},
            "drop": bool(check.missing),
        }[lie]
        if not caught:
            raise PlantError(f"not caught: {check}")
        return (
            f"{len(check.refused)} receipts refused ({', '.join(checks) or 'none'}),"
            f" {sum(map(len, check.missing.values()))} frames missing, {check.good} hold"
        )

    def end_sessions(self) -> None:
        """Have the camera end its sessions, so that every frame so far is signed for and logged:
        its agent is started again.
        """
        self.plant.stop_agent(self.line.camera)
        self.line.start_camera()
        wait_for("the camera to be back", self.line.streaming, 40)
        heads = self.line.camera.disk / "heads"
        wait_for(
            "the camera's heads to be with their gateways",
            lambda: all(f.stat().st_size < OWED_BYTES for f in heads.glob("*.frames")),
            40,
        )
        time.sleep(3)  # the last batch is signed after one second and logged after two more

    def verify(self, name: str, camera: str) -> OfflineCheck:
        """The receipts of a camera, exported and verified offline."""
        out = self.build / name
        self.plant.framegate(
            "receipt",
            "export",
            "--camera",
            camera,
            "--since",
            "1h",
            "--limit",
            "10000",
            "--out",
            out,
        )
        done = self.plant.command(
            "framegate",
            "receipt",
            "verify",
            out,
            "--root",
            out.with_suffix(".root.pem"),
            "--whole",
            "-o",
            "json",
            check=False,
        )
        body = json.loads(done.stdout)
        return OfflineCheck(
            body["good"], [*body["refused"], *body["pending"]], body["missing_frames"]
        )

    def said(self, since: int) -> str:
        """The outside counts in words."""
        o = self.line.outside(since)
        return (
            f"in {o.parts_in}, through {o.let_through}, diverted {o.diverted}, uninspected let"
            f" through {len(o.uninspected)}"
        )


def main() -> None:
    """make demo-line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    live = sys.stdout.isatty() and not os.environ.get("CI")
    console = Terminal(
        force_terminal=None if live else False, width=None if live else 160, highlight=False
    )
    console.print(
        Panel(
            "SIMULATED here: conveyor, PLC, diverter, camera and its boards, machines and TPM chips"
            " (swtpm).\nREAL: every Framegate program, MQTT broker, Modbus/TCP, TLS, sealed frames,"
            " the model, signed verdicts, receipts, kill -9.\nThe conveyor counts what happened to"
            " the parts by itself; it asks neither the gateway nor the adapter.",
            title=f"Framegate: line {LINE}",
        )
    )
    begun = time.monotonic()
    logs = args.build / "demo-line-logs"
    shutil.rmtree(logs, ignore_errors=True)
    for number in (signal.SIGTERM,):
        signal.signal(number, lambda *_: sys.exit(1))
    with Plant(interval_s=4.0, logs=logs) as plant, plant.explained(), LinePlant(plant) as line:
        demo = DemoLine(line, args.build, console, live)
        good = demo.run()
        total = line.outside()
        console.print()
        console.print(demo.table())
        good = good and total.exact
        body = {
            "acts": [asdict(a) for a in demo.acts],
            "ok": good,
            "parts_in": total.parts_in,
            "let_through": total.let_through,
            "diverted": total.diverted,
            "uninspected_let_through": len(total.uninspected),
            "defective_let_through": total.bad_let_through,
            "seconds": round(time.monotonic() - begun, 1),
        }
    (args.build / "demo-line.json").write_text(json.dumps(body, indent=1) + "\n")
    console.print(
        f"\noutside: in {body['parts_in']} = through {body['let_through']} + diverted"
        f" {body['diverted']}; uninspected let through: {body['uninspected_let_through']};"
        f" {sum(a.ok for a in demo.acts)} of {len(demo.acts)} acts as they should,"
        f" {body['seconds']} s; {args.build}/demo-line.json"
    )
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    run_to_its_end(main)
