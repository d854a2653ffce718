"""make demo-vibration: a motor's vibration goes the way that pictures go, from a TPM to a receipt;
a bearing with a damaged race is found, a channel is masked, and what is no window never passes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate.receipt_verifier import ReceiptPending, verify_receipt
from framegate_host.console import Terminal
from framegate_simulators.demo.part import signing_keys
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, PlantError, wait_for
from framegate_simulators.plant.site import Site
from framegate_simulators.vibration.sensor import golden, part_type
from framegate_simulators.vibration.train import SHIPPED

MOTOR: Final = 1
RATE: Final = 2
"""Windows a second; each lasts half of one."""
FAULTY_FROM: Final = 8
INTERVAL_S: Final = 20.0
"""Between attestations: nothing here waits for one, and a busy machine has time for each."""
PATIENCE_S: Final = 300.0
CURRENT: Final = '[[region]]\nchannel = "current"\n'
NEARLY_ALL: Final = "".join(
    f'[[region]]\nchannel = "{name}"\n' for name in ("current", "vibration-y")
)
TROUBLES: Final = {
    "clipped": "series-clipped",
    "gap": "series-gap",
    "replayed": "payload-replayed",
    "picture": "payload",
}


class DemoVibration(Story):
    """The acts in order."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.folder = Path("build") / "vibration"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.sensor: Site | None = None
        self.gateway: Site | None = None

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "A model of motors is put in force",
                "signed, registered, approved, promoted; the motor gets its golden window",
                self.put_in_force,
            ),
            Scene(
                "A sensor proves itself and sends windows",
                "TPM, certificate, sealed windows; PASS on a series while the motor is sound",
                self.sound,
            ),
            Scene(
                "A bearing's inner race is damaged",
                "DEFECT inner-race, in the channel where it shows, and a picture of the window",
                self.faulty,
            ),
            Scene(
                "The sensor itself is bad",
                "clipped, with a gap, old, or no series at all: UNINSPECTED, each with its reason",
                self.troubles,
            ),
            Scene(
                "The current is masked",
                "its samples are gone before sealing; two channels in three are inspected",
                self.masked,
            ),
            Scene(
                "More is masked than may be",
                "UNINSPECTED (inspected-share), never PASS",
                self.blinded,
            ),
            Scene(
                "Receipts are verified offline",
                "each holds, its camera's signature too, and says that it is of a series",
                self.receipts,
            ),
            Scene(
                "The sensor's firmware is changed",
                "suspect, and no window of it is inspected any more",
                self.tampered,
            ),
        )

    def put_in_force(self) -> str:
        """As with any model."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        self.gateway = gateway = p.add_machine("gw1", kind="gateway")
        p.join(gateway, p.invite(gateway))
        p.start_agent(gateway)
        bundle = p.folder / "models" / "motors"
        shutil.copytree(SHIPPED, bundle)
        p.start_gateway(gateway, "--models", p.folder / "models")
        private, public = signing_keys(p.folder)
        p.framegate("model", "sign", bundle, "--key", private)
        p.framegate("model", "register", bundle, "--key", public)
        digest = p.ask("model", "list")[0]["digest"]
        p.framegate("model", "approve", digest[:16], "--reason", "its card was read")
        p.framegate("model", "promote", digest[:16], "line-1")
        sound = self.folder / f"{part_type(MOTOR)}.series"
        sound.write_bytes(golden(MOTOR))
        p.framegate("part", "add", part_type(MOTOR), "--golden", sound, "--source", "drawn")
        wait_for(
            "the model to be in force",
            lambda: p.ask("gateway", "status")[0]["model_sha256"] == digest,
            PATIENCE_S,
        )
        return f"motor-faults-1 {digest[:16]} inspects line-1"

    def sound(self) -> str:
        """The sensor joins like any camera."""
        p = self.plant
        self.sensor = sensor = p.add_machine("motor1")
        p.join(sensor, p.invite(sensor))
        self._run("--fault", "inner-race", "--faulty-from", FAULTY_FROM)
        passed = self._first("a PASS", lambda row: row["outcome"] == "PASS")
        return f"{passed['part']}: PASS, {passed['inspected_percent']} % inspected"

    def faulty(self) -> str:
        """It goes on, and the fault begins."""
        row = self._first("a DEFECT", lambda row: row["outcome"] == "DEFECT")
        kinds = {defect["kind"] for defect in row["defects"]}
        if kinds != {"inner-race"}:
            raise PlantError(f"{row['part']}: {kinds}")
        picture = self.folder / "inner-race.png"
        self.plant.framegate("verdict", "picture", row["verdict_id"], "--out", picture)
        return f"{row['part']}: inner-race {row['defects'][0]['score']:.2f}, {picture}"

    def masked(self) -> str:
        """One channel of three."""
        self._run("--fault", "inner-race")
        self._mask(CURRENT, 1)
        row = self._first(
            "a window under the mask",
            lambda row: row["outcome"] == "DEFECT" and row["inspected_percent"] == 66,
        )
        return f"{row['part']}: {row['outcome']}, {row['inspected_percent']} % inspected"

    def blinded(self) -> str:
        """Two channels of three, then one again."""
        self._mask(NEARLY_ALL, 2)
        row = self._first("a refusal", lambda row: row["reason"] == "inspected-share")
        self._mask(CURRENT, 3)
        return f"{row['part']}: {row['outcome']} ({row['reason']})"

    def troubles(self) -> str:
        """One after the other, each with a new start of the sensor."""
        for trouble, reason in TROUBLES.items():
            self._run("--trouble", trouble)
            self._first(f"{reason} of a sensor that is {trouble}", partial(_is_for, reason))
        return ", ".join(f"{trouble}: {reason}" for trouble, reason in TROUBLES.items())

    def receipts(self) -> str:
        """By the one file that imports nothing of Framegate."""
        p, out = self.plant, self.folder / "receipts.jsonl"
        self._run("--count", 3)  # and signs for sessions whose heads are still owed
        root = out.with_suffix(".root.pem")

        def whole() -> list[Any]:
            argv = ("--camera", "motor1", "--since", "1h", "--limit", "10000", "--out", out)
            out.unlink(missing_ok=True)
            p.framegate("receipt", "export", *argv)
            lines = [json.loads(line) for line in out.read_text().splitlines()]
            try:
                return [
                    verify_receipt(body, root.read_bytes())
                    for body in lines
                    if body["format"] == "framegate-receipt-1"
                ]
            except ReceiptPending:
                return []

        proofs = wait_for("receipts with every proof", whole, PATIENCE_S, every_s=2)
        verdicts = [r for r in proofs if not r.is_gap]
        named = [r for r in verdicts if r.claims["fg"].get("payload_kind") == "series"]
        seen = {r.claims["fg"]["outcome"] for r in named}
        if len(named) != len(verdicts) or seen != {"PASS", "DEFECT", "UNINSPECTED"}:
            raise PlantError(f"{len(named)} of {len(verdicts)} say series, {seen}")
        return f"{len(proofs)} receipts hold, {len(named)} of a series; {out}"

    def tampered(self) -> str:
        """Another boot loader, as with any camera."""
        p, sensor = self.plant, self._sensor
        sensor.machine.reboot(sensor.machine.firmware.tampered())
        self._run()
        wait_for(
            "the sensor to be suspect",
            lambda: sensor.status().get("state") == "suspect",
            PATIENCE_S,
        )
        why = p.framegate("camera", "why", "motor1", check=False)
        self.console.print(why.stdout.rstrip(), markup=False, soft_wrap=True)
        if why.returncode != 6 or "boot loader" not in why.stdout:
            raise PlantError(f"exit code {why.returncode}: {why.stdout}")
        return "suspect: its boot loader is none that the profile knows"

    @property
    def _sensor(self) -> Site:
        if self.sensor is None:
            raise PlantError("no sensor has joined")
        return self.sensor

    def _run(self, *more: object) -> None:
        """Start the sensor's agent on a drawn motor, `more` being said to its capture program."""
        argv = " ".join(str(one) for one in ("--motor", MOTOR, "--rate", RATE, *more))
        self.plant.stop_agent(self._sensor)
        self.plant.start_agent(self._sensor, "--source", f"exec:{SIM} sensor {argv}")

    def _rows(self) -> list[dict[str, Any]]:
        """The latest verdicts; none while the gateway does not answer."""
        argv = ("verdict", "list", "--limit", "100", "-o", "json")
        done = self.plant.framegate(*argv, check=False)
        rows: list[dict[str, Any]] = [] if done.returncode else json.loads(done.stdout)
        return rows

    def _first(self, what: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first verdict that is one; each has to be of a series."""

        def seen() -> dict[str, Any] | None:
            rows = self._rows()
            other = [row["part"] for row in rows if row["payload_kind"] != "series"]
            if other:
                raise PlantError(f"{other[0]} is no series by its verdict")
            return next((row for row in rows if is_it(row)), None)

        row: dict[str, Any] = wait_for(what, seen, PATIENCE_S, every_s=0.5)
        return row

    def _mask(self, regions: str, version: int) -> None:
        file = self.plant.folder / f"mask-{version}.toml"
        file.write_text(regions)
        self.plant.framegate("mask", "set", "motor1", file)
        wait_for(
            "the sensor to have its masks",
            lambda: self._sensor.status().get("masks") == version,
            PATIENCE_S,
        )


def _is_for(reason: str, row: dict[str, Any]) -> bool:
    return bool(row["reason"] == reason and row["outcome"] == "UNINSPECTED")


def main() -> None:
    """make demo-vibration."""
    tell(
        DemoVibration,
        partial(Plant, interval_s=INTERVAL_S),
        name="demo-vibration",
        summary="A motor's vibration is inspected, and a damaged bearing is found.",
        simulated=(
            "machines, motors, faults and sensors; TPMs are swtpm; controller, gateway, agents,"
            " commands and receipts are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
