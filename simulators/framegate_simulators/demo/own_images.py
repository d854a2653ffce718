"""The user's own folder of images, inspected on a camera of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
from rich.table import Table

from framegate_simulators.demo.fleet_view import FleetView, told
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for

SOURCE_LIMIT: Final = 60
"""Images of the user's own folder that are waited for."""


@dataclass(frozen=True, slots=True)
class OwnImages:
    """How many images a folder holds, and the outcomes of those that were sent."""

    images: int
    outcomes: Counter[str]


def inspect_folder(plant: Plant, view: FleetView, source: Path) -> OwnImages:
    """Inspect the user's folder on a camera of its own."""
    site = plant.add_machine("camera-of-yours")
    plant.join(site, plant.invite(site))
    images = frames_of(source)
    wanted = min(
        sum(
            cv2.imread(str(f), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) is not None
            for f in images[: 2 * SOURCE_LIMIT]
        ),
        SOURCE_LIMIT,
    )
    plant.start_agent(site, "--source", f"folder:{source}", "--rate", "6")
    wait_for(
        f"verdicts on {wanted} images", lambda: sum(view.outcomes(site).values()) >= wanted, 40
    )
    plant.stop_agent(site)
    verdicts = plant.ask(
        "verdict", "list", "--limit", "10", "--camera", "camera.line-1.camera-of-yours"
    )
    table = Table("part", "outcome", "what", box=None)
    for v in verdicts:
        table.add_row(
            v["part"],
            v["outcome"],
            v["reason"] or ", ".join(f"{d['kind']} {d['score']:.2f}" for d in v["defects"][:5]),
        )
    view.console.print(table)
    reasons = Counter(site.status().get("uninspected", {}))
    if set(view.outcomes(site)) == {"UNINSPECTED"}:
        view.console.print(
            f"   no image could be judged: {told(reasons)}; a golden image X_temp.jpg beside"
            " each X_test.jpg is needed"
        )
    return OwnImages(len(images), view.outcomes(site))


def frames_of(folder: Path) -> list[Path]:
    """The images in a folder that are frames, by name."""
    return [
        f
        for f in sorted(folder.rglob("*"))
        if f.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp"} and not f.stem.endswith("_temp")
    ]
