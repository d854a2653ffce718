"""A witness of the plant's log of decisions, as a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from framegate_simulators.plant.plant import Plant


class PlantWitness:
    """`framegate witness run` beside a plant whose controller runs; `also` is its second place for
    heads.
    """

    def __init__(self, plant: Plant, name: str = "w1", folder: Path | None = None) -> None:
        self.plant, self.name = plant, name
        self.folder = folder or plant.folder / f"witness-{name}"
        self.also = plant.folder / f"witness-{name}-heads"
        self.port = 0
        done = plant.framegate(
            "witness", "init", "--name", f"witness.example/{name}", "--state", self.folder
        )
        self.key = done.stdout.strip()
        log = plant.framegate("log", "key").stdout.strip()
        plant.framegate("witness", "watch", log, "--state", self.folder)

    def start(self) -> None:
        """Start it, again on the same port."""
        ready = self.folder.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        where = ("--state", self.folder, "--port", self.port, "--also", self.also)
        name = f"witness-{self.name}"
        self.plant.start(name, "framegate", "witness", "run", *where, "--ready-file", ready, "-v")
        self.plant.wait_until_up(name, ready.exists)
        self.port = int(json.loads(ready.read_text())["address"].rsplit(":", 1)[1])

    def stop(self) -> None:
        """End it."""
        self.plant.stop(f"witness-{self.name}")

    @property
    def cosigner(self) -> str:
        """As the controller is told of it."""
        return f"{self.key}@http://127.0.0.1:{self.port}"

    def stands(self) -> dict[str, Any]:
        """How the controller says that it stands."""
        rows = self.plant.ask("witness", "list")
        row: dict[str, Any] = next((r for r in rows if r["key"] == self.key), {})
        return row
