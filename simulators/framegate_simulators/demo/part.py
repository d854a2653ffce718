"""make demo-part: a part that nobody labelled is learned from forty good pictures of it, and a
scratched one is found; pictures of all of it stay in build/part.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from framegate_host.console import Terminal
from framegate_host.private_files import write_private, write_public
from framegate_simulators.demo.story import Scene, Story, tell
from framegate_simulators.fixtures.plates import write_plates
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, PlantError, wait_for
from framegate_simulators.plant.site import Site

GOOD: Final = 40
FRESH: Final = 60
"""Sound plates that were not learned from, and as many scratched ones, to measure on."""
SHOWN: Final = 6
"""Plates of each sort that a camera sends."""
FALSE_ALARMS: Final = 0.01
LEAST_FOUND: Final = 0.95
"""Share of the scratched plates that has to be found for the demonstration to end well."""
MOST_FALSE: Final = 0.05
"""Share of sound plates that may be DEFECT: of sixty, one in a hundred can be three by chance."""
PART: Final = "plate-fg7"
PATIENCE_S: Final = 300.0
LEARNING_S: Final = 900.0
"""How long learning or measuring may last, on a machine that does other things too."""


class DemoPart(Story):
    """The acts in order."""

    def __init__(self, plant: Plant, console: Terminal) -> None:
        super().__init__(plant, console)
        self.folder = Path("build") / "part"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.defect: dict[str, Any] = {}
        self.bundle = plant.folder / "models" / "plates"

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        return (
            Scene(
                "Forty good pictures",
                "a plate, drawn: brushed anew, lit and laid down a little otherwise each time",
                self.draw,
            ),
            Scene(
                "It is learned from them alone",
                f"a bundle, with a threshold for {FALSE_ALARMS:.0%} false alarms",
                self.learn,
            ),
            Scene(
                "It is measured on plates that it has not seen",
                "scratched ones are found, sound ones pass as promised",
                self.measure,
            ),
            Scene(
                "It is put in force",
                "signed, registered, approved, promoted; the plate gets its golden image",
                self.put_in_force,
            ),
            Scene(
                "A camera sends plates",
                "sound ones PASS, scratched ones are DEFECT, by signed verdicts",
                self.inspect,
            ),
            Scene(
                "A scratch is shown",
                "where it is hot, in the verdict and in its picture",
                self.show,
            ),
        )

    def draw(self) -> str:
        """All pictures."""
        write_plates(self.folder / "good", 1, GOOD)
        write_plates(self.folder / "fresh", 2, FRESH)
        write_plates(self.folder / "scratched", 3, FRESH, scratches=True)
        return f"{GOOD} to learn from, {FRESH} sound and {FRESH} scratched ones kept aside"

    def learn(self) -> str:
        """By the command that anybody types."""
        said = _models(
            "learn",
            "--good",
            self.folder / "good",
            "--out",
            self.bundle,
            "--name",
            "plates",
            "--keep-back",
            "0",
            "--false-alarms",
            FALSE_ALARMS,
        )
        self.console.print(said, end="", markup=False, soft_wrap=True)
        pictures = self.bundle.with_name(self.bundle.name + ".pictures")
        shutil.copytree(pictures, self.folder / "pictures")
        return f"{self.folder / 'pictures'}: drawn damage, and where it is hot"

    def measure(self) -> str:
        """On fresh plates."""
        said = _models(
            "evaluate",
            "--bundle",
            self.bundle,
            "--good",
            self.folder / "fresh",
            "--bad",
            self.folder / "scratched",
            "-o",
            "json",
        )
        figures: dict[str, Any] = json.loads(said)
        write_public(self.folder / "figures.json", said.encode())
        false = figures["good_images_flagged"] / figures["good_images"]
        share = 1 - figures["bad_images_missed"] / figures["bad_images"]
        words = (
            f"area under ROC {100 * figures['image_auroc']:.1f} %, {100 * share:.0f} % of"
            f" the scratches, false alarms on {figures['good_images_flagged']} of"
            f" {figures['good_images']}, {figures['processor_ms_per_frame']:.0f} ms of a processor"
            " a frame"
        )
        if share < LEAST_FOUND or false > MOST_FALSE:
            raise PlantError(words)
        return words

    def put_in_force(self) -> str:
        """As with any model."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        gateway = p.add_machine("gw1", kind="gateway")
        p.join(gateway, p.invite(gateway))
        p.start_agent(gateway)
        p.start_gateway(gateway, "--models", p.folder / "models")
        private, public = signing_keys(p.folder)
        p.framegate("model", "sign", self.bundle, "--key", private)
        p.framegate("model", "register", self.bundle, "--key", public)
        digest = p.ask("model", "list")[0]["digest"]
        p.framegate("model", "approve", digest[:16], "--reason", "figures and pictures looked at")
        p.framegate("model", "promote", digest[:16], "line-1")
        golden = self.folder / "good" / "plate_000.png"
        p.framegate("part", "add", PART, "--golden", golden, "--source", "drawn")
        wait_for(
            "the model to be in force",
            lambda: p.ask("gateway", "status")[0]["model_sha256"] == digest,
            PATIENCE_S,
        )
        return f"plates-1 {digest[:16]} inspects line-1"

    def inspect(self) -> str:
        """Sound and scratched plates in turn."""
        p, belt = self.plant, self.folder / "belt"
        belt.mkdir()
        for number in range(SHOWN):
            for sort in ("fresh", "scratched"):
                source = self.folder / sort / f"plate_{number:03d}.png"
                shutil.copy(source, belt / f"{number:02d}-{sort}.png")
        camera: Site = p.add_machine("cam1")
        p.join(camera, p.invite(camera))
        belt_source = f"folder:{belt.resolve()}"
        p.start_agent(camera, "--source", belt_source, "--part-type", PART, "--rate", "2")

        def all_judged() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = p.ask("verdict", "list", "--limit", "100")
            return rows if len({r["part"] for r in rows}) >= 2 * SHOWN else []

        rows = wait_for("verdicts on all plates", all_judged, PATIENCE_S, every_s=1)
        outcomes = {row["part"]: row["outcome"] for row in rows}
        wrong = [
            f"{part}: {outcome}"
            for part, outcome in sorted(outcomes.items())
            if outcome != ("PASS" if part.endswith("fresh") else "DEFECT")
        ]
        if wrong:
            raise PlantError(", ".join(wrong))
        self.defect = next(row for row in rows if row["outcome"] == "DEFECT")
        return f"{SHOWN} sound ones PASS, {SHOWN} scratched ones DEFECT"

    def show(self) -> str:
        """As an operator does."""
        if not self.defect:
            raise PlantError("no scratched plate was judged")
        picture = self.folder / "scratch.png"

        def proved() -> CompletedProcess[str] | None:
            said = ("verdict", "show", self.defect["verdict_id"], "--picture", picture)
            done = self.plant.framegate(*said, check=False)
            return None if done.returncode else done

        # its receipt waits for its batch
        shown = wait_for("the verdict's receipt", proved, PATIENCE_S, every_s=1)
        self.console.print(shown.stdout, end="", markup=False)
        if "heat" not in shown.stdout:
            raise PlantError("the verdict bears no heat")
        return f"{picture}, and sheets of first results in {self.folder}"


def _models(*argv: object) -> str:
    """What one of its commands prints; how far it is, is shown as it goes on."""
    done = subprocess.run(
        [str(BIN / "framegate-models"), *map(str, argv)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LEARNING_S,
    )
    if done.returncode:
        raise PlantError(f"framegate-models {argv[0]} ended with {done.returncode}")
    return done.stdout


def signing_keys(folder: Path) -> tuple[Path, Path]:
    """Private and public key of whoever signs models."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "model.key", folder / "model.pub"
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_public(
        public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def main() -> None:
    """make demo-part."""
    tell(
        DemoPart,
        partial(Plant, interval_s=2.0),
        name="demo-part",
        summary="A part that nobody labelled is learned, and a scratched one is found.",
        simulated=(
            "machines, plates and scratches; TPMs are swtpm; learning, measuring, controller,"
            " gateway, agents and commands are the product."
        ),
    )


if __name__ == "__main__":
    run_to_its_end(main)
