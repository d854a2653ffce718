"""A part learned once from drawn plates, for all tests of a worker."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from framegate_gateway.inference.signed_folder import Provenance
from framegate_models.learn import Learned, Plan, learn_part
from framegate_models.pretrained import PACKAGE
from framegate_simulators.fixtures.plates import write_plates

GOOD = 30


@dataclass(frozen=True)
class Plates:
    """Folders of sound and of scratched plates, and what was learned from the sound ones."""

    good: Path
    fresh: Path
    scratched: Path
    learned: Learned
    stages: tuple[str, ...]


@pytest.fixture(scope="session")
def plates(tmp_path_factory) -> Plates:
    pytest.importorskip(PACKAGE, reason="the extra learn is not installed")
    folder = tmp_path_factory.mktemp("plates")
    write_plates(folder / "good", 1, GOOD)
    write_plates(folder / "fresh", 2, 12)
    write_plates(folder / "scratched", 3, 12, scratches=True)
    stages: list[str] = []
    plan = Plan("plates", 1, size=(256, 192), keep_back=0.2, minutes=9, threads=1)
    learned = learn_part(
        folder / "good",
        plan,
        Provenance("0" * 64, GOOD),
        lambda stage, _share, _detail: stages.append(stage),
    )
    return Plates(folder / "good", folder / "fresh", folder / "scratched", learned, tuple(stages))
