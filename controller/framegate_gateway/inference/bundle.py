"""The model bundle: model.onnx and recipe.json, read once into memory; what is hashed is what runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.dsse import strict_json
from framegate.errors import Malformed, Reason, Unavailable
from framegate.wire import sha256

MAX_MODEL_BYTES: Final = 256 * 1024 * 1024
"""Room for detectors a hundred times the default's size."""
DEFAULT_BUNDLE: Final = Path(__file__).parent / "default_bundle"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model's bytes and recipe. `digest` is the SHA-256 of model and recipe bytes together: what grants and verdicts name."""

    model: bytes
    classes: tuple[str, ...]
    threshold: float
    multiple_px: int
    digest: bytes
    name: str = ""
    training_sha256: str = ""
    training: bytes = b""


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`. Raises Unavailable where files are missing, Malformed where the recipe is wrong or names another model."""
    try:
        model, recipe = (folder / "model.onnx").read_bytes(), (folder / "recipe.json").read_bytes()
    except OSError as error:
        raise Unavailable.of(Reason.MODEL, f"model.onnx and recipe.json in {folder}", error.strerror or error, "name a bundle: framegate-gateway run --bundle DIR") from error
    if len(model) > MAX_MODEL_BYTES:
        raise Malformed.of(Reason.MODEL, f"a model of at most {MAX_MODEL_BYTES} bytes", len(model))
    body = strict_json(recipe)
    try:
        classes, threshold, multiple = tuple(map(str, body["classes"])), float(body["threshold"]), int(body["multiple_px"])
        named, name = str(body["model_sha256"]), str(body.get("name", "unnamed"))
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed.of(Reason.MODEL, "a recipe with classes, threshold, multiple_px and model_sha256", error) from error
    if named != sha256(model).hex():
        raise Malformed.of(Reason.MODEL, f"the model {named} that the recipe names", sha256(model).hex(), "the model file was changed or belongs to another recipe")
    if not classes or not 0 < threshold < 1 or not 1 <= multiple <= 1024:
        raise Malformed.of(Reason.MODEL, "classes, a threshold in (0, 1), multiple_px in 1 to 1024", (classes, threshold, multiple))
    manifest = folder / "training.json"
    training = manifest.read_bytes() if manifest.exists() else b""
    digest = sha256(b"framegate/v1/bundle" + sha256(model) + sha256(recipe))
    return Bundle(model, classes, threshold, multiple, digest, f"{name}-{body.get('version', 0)}", sha256(training).hex() if training else "", training)


class GoldenImages:
    """Golden images of part types, from folders: `TYPE.png`, `TYPE.jpg`, or DeepPCB's `TYPE_temp.jpg`. Read when first asked for."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._paths: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in {".png", ".jpg", ".jpeg"} and not path.stem.endswith("_test"):
                    self._paths[path.stem.removesuffix("_temp")] = path

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, part_type: str) -> bool:
        return part_type in self._paths

    def get(self, part_type: str) -> bytes:
        """The golden image's encoded bytes. KeyError for an unknown part type."""
        return self._paths[part_type].read_bytes()
