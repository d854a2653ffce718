"""Pictures of spots, networks that see them, and bundles made of both."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from framegate_gateway.inference.layouts import LAYOUTS, Kind
from framegate_gateway.inference.parts import Part
from framegate_models.importing import Imported, import_model
from framegate_models.proposal import Wish
from framegate_simulators.fixtures.spot_networks import CLASSES, spot_network, spot_picture

EACH = 8
SEED = 3


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def wish_for(layout: str, /, **changes) -> Wish:
    kind = LAYOUTS[layout].kind
    classes = {
        Kind.DETECTION: CLASSES,
        Kind.ANOMALY: ("anomaly",),
    }.get(kind, ("good", *CLASSES))
    good = ("good",) if "good" in classes else ()
    return Wish(**{"kind": kind, "classes": classes, "good": good, "name": "spots", **changes})


class Spots:
    """Folders of good and bad pictures, and what is imported with them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.good, self.bad = folder, folder / "good", folder / "bad"
        rng = np.random.default_rng(SEED)
        for place, spots in ((self.good, 0), (self.bad, 1)):
            place.mkdir(parents=True)
            for number in range(EACH):
                picture = spot_picture(rng, spots * (1 + number % 2))
                (place / f"{number:02d}.png").write_bytes(png(picture))
        self._kept: dict[str, Imported] = {}

    def file(self, model: bytes, name: str = "network") -> Path:
        path = self.folder / f"{name}.onnx"
        path.write_bytes(model)
        return path

    def imported(self, layout: str) -> Imported:
        """A bundle of the network in this layout, made once."""
        if layout not in self._kept:
            path = self.file(spot_network(layout), layout)
            self._kept[layout] = import_model(path, wish_for(layout), self.good, self.bad, 1)
        return self._kept[layout]


class OnePart:
    """A part whose golden image is a good picture, with rules of its own."""

    def __init__(self, golden: bytes, **rules) -> None:
        self.part = Part("p", (golden,), **rules)

    def __contains__(self, part_type: str) -> bool:
        return part_type == "p"

    def key(self, part_type: str) -> str:
        return part_type

    def get(self, part_type: str) -> Part:
        return self.part


@pytest.fixture(scope="session")
def spots(tmp_path_factory) -> Spots:
    return Spots(tmp_path_factory.mktemp("spots"))
