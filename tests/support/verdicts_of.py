"""Verdicts of a running plant, and their receipts, as its operators read them."""

from pathlib import Path

from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError, wait_for

BATCH_S = 60


def verdicts(plant: Plant) -> list[dict]:
    """`framegate verdict list`, the newest first; none while no gateway has shown itself."""
    try:
        return plant.ask("verdict", "list")
    except PlantError:
        return []


def exported(plant: Plant, verdict: str) -> Path:
    """The file of a verdict's receipt, once the batch that it stands in is signed."""
    out = plant.folder / f"{verdict}.json"
    argv = ("receipt", "export", verdict, "--out", out)

    def written() -> bool:
        return plant.framegate(*argv, check=False).returncode == 0

    wait_for(f"the receipt of {verdict}", written, BATCH_S, every_s=0.5)
    return out
