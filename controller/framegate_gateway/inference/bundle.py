"""The model bundle: a folder of a few named files, read once into memory; what is hashed is what
runs.

model.onnx            the network as it runs weights.onnx          the same network before
quantisation, which training can go on from; never run by a gateway recipe.json           its
classes, threshold, calibration: what `Recipe` says known-answers.json    what the model must say to
the frames in known/, wherever and whenever it runs known/NN_test.png     those frames, and
NN_temp.png their golden images card.json             figures and the data it was trained on, for
people and for the lineage of verdicts model.sig             an OpenSSF model-signing signature over
all of these, where the bundle is signed
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Malformed, Reason, Unavailable
from framegate.signed.dsse import strict_json
from framegate.signed.model import SIGNATURE_NAME, bundle_digest
from framegate.wire import sha256
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.recipe_json import parse_recipe
from framegate_host.private_files import public_folder, write_public

MAX_MODEL_BYTES: Final = 256 * 1024 * 1024
"""Room for detectors a hundred times the default's size."""
MAX_PART_BYTES: Final = 4 * 1024 * 1024
"""Every other file: a frame is some kilobytes."""
MAX_FILES: Final = 512
MIN_KNOWN: Final = 20
"""Known-answer frames of a model that was trained here: each class is among them several times."""
MIN_EACH_ANSWER: Final = 4
"""Known-answer frames of an imported model, with defects and without: whoever imports one has a few
of each at hand, and four right answers are no accident.
"""
DEFAULT_BUNDLE: Final = Path(__file__).parent / "default_bundle"
MODEL_NAME: Final = "model.onnx"
WEIGHTS_NAME: Final = "weights.onnx"
_NAMES: Final = re.compile(
    r"model\.onnx|weights\.onnx|recipe\.json|known-answers\.json|card\.json|model\.sig"
    r"|known/[0-9]{2,4}_(?:test|temp)\.png"
)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """One frame, PNG bytes, and the defects the model must find in it: [{kind, score, box}].
    `golden` is its golden image, of a pair alone: no other kind's network sees one.
    """

    name: str
    frame: bytes
    golden: bytes
    defects: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's bytes and what they say. `digest` covers every file but the signature: it is what
    grants, pins and verdicts name.
    """

    files: Mapping[str, bytes]
    recipe: Recipe
    known: tuple[KnownAnswer, ...]
    digest: bytes
    signature: bytes = b""

    @property
    def model(self) -> bytes:
        """The ONNX file."""
        return self.files[MODEL_NAME]

    @property
    def weights(self) -> bytes:
        """What training goes on from: the network before quantisation, else the one that runs."""
        return self.files.get(WEIGHTS_NAME, self.model)

    @property
    def name(self) -> str:
        """Name and version, as receipts have them."""
        return f"{self.recipe.name}-{self.recipe.version}"

    @property
    def training(self) -> bytes:
        """What the model was trained on, as its card has it; empty where there is no card."""
        return self.files.get("card.json", b"")

    @property
    def training_sha256(self) -> str:
        """Hex digest of `training`, "" where there is none."""
        return sha256(self.training).hex() if self.training else ""

    def rehash(self) -> bool:
        """Whether the bytes in memory still have the digest."""
        return bundle_digest({n: sha256(d) for n, d in self.files.items()}) == self.digest


def read_bundle_files(folder: Path) -> tuple[dict[str, bytes], bytes]:
    """The bundle's files, name to bytes, and its signature (empty where there is none), each read
    once.

    Refused by name, before anything of it is used: files of other names, links, devices, files too
    large, too many of them. Raises Malformed or Unavailable (MODEL).
    """
    if folder.is_symlink() or not (folder / MODEL_NAME).exists():
        raise Unavailable.of(
            Reason.MODEL,
            f"a folder {folder} with {MODEL_NAME} and recipe.json",
            "a link" if folder.is_symlink() else "none",
            "name a bundle: --bundle DIR",
        )
    files: dict[str, bytes] = {}
    for place, folders, names in os.walk(folder, followlinks=False):
        here = Path(place)
        for name in [*folders, *names]:
            path = here / name
            relative = path.relative_to(folder).as_posix()
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                if relative != "known":
                    raise Malformed.of(
                        Reason.MODEL,
                        "a bundle of the files a bundle has",
                        f"a folder {ascii(relative)[:120]}",
                        "take it out",
                    )
                continue
            if not stat.S_ISREG(kind) or not _NAMES.fullmatch(relative):
                what = "a link or device" if not stat.S_ISREG(kind) else "an extra file"
                raise Malformed.of(
                    Reason.MODEL,
                    "a bundle of the files a bundle has",
                    f"{what} {ascii(relative)[:120]}",
                    "take it out",
                )
            if len(files) >= MAX_FILES:
                raise Malformed.of(Reason.MODEL, f"at most {MAX_FILES} files", "more")
            files[relative] = _read(
                path,
                MAX_MODEL_BYTES if relative in {MODEL_NAME, WEIGHTS_NAME} else MAX_PART_BYTES,
                relative,
            )
    return files, files.pop(SIGNATURE_NAME, b"")


def parse_bundle(files: Mapping[str, bytes], signature: bytes = b"") -> Bundle:
    """The bundle that these files are.

    1. every name is one a bundle has;
    2. the recipe has exactly its kind's members, in range, and names this model (`parse_recipe`);
    3. each known answer has its images, a pair's both, and no image is left over;
    4. of another kind than a pair, at least `MIN_EACH_ANSWER` known answers are defects and as many
       are none: a network that always says the same, or answers nothing, fits no such set (N186).

    Raises Malformed or Unavailable (MODEL). The network itself is looked at by
    `graph.verify_graph`, in the process that runs it.
    """
    for name in files:
        if not _NAMES.fullmatch(name) or name == SIGNATURE_NAME:
            raise Malformed.of(
                Reason.MODEL, "a bundle of the files a bundle has", ascii(name)[:120]
            )
    missing = {MODEL_NAME, "recipe.json"} - set(files)
    if missing:
        raise Unavailable.of(
            Reason.MODEL,
            f"{MODEL_NAME} and recipe.json",
            f"no {sorted(missing)[0]}",
            "name a bundle: --bundle DIR",
        )
    recipe = parse_recipe(files["recipe.json"], sha256(files[MODEL_NAME]).hex())
    digest = bundle_digest({n: sha256(d) for n, d in files.items()})
    known = _known(files, recipe)
    if recipe.kind != Kind.PAIR:
        require_both_answers(known)  # 4
    return Bundle(dict(files), recipe, known, digest, signature)


def require_both_answers(known: Sequence[KnownAnswer]) -> None:
    """That known answers have defects and none, enough of each. Raises Malformed (MODEL)."""
    bad = sum(bool(answer.defects) for answer in known)
    if min(bad, len(known) - bad) < MIN_EACH_ANSWER:
        raise Malformed.of(
            Reason.MODEL,
            f"known answers: {MIN_EACH_ANSWER} frames with defects and {MIN_EACH_ANSWER} without",
            f"{bad} with, {len(known) - bad} without",
            "more pictures of both: framegate-models import --good DIR --bad DIR",
        )


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`; see `read_bundle_files` and `parse_bundle`."""
    return parse_bundle(*read_bundle_files(folder))


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle's files into a new or empty folder. Raises Malformed where they are no bundle,
    Unavailable where the folder holds something already.
    """
    bundle = parse_bundle(files)
    if folder.exists() and any(folder.iterdir()):
        raise Unavailable.of(
            Reason.MODEL,
            f"an empty folder {folder}",
            "one with files in it",
            "choose another name; nothing is overwritten",
        )
    for name, data in files.items():
        path = folder / name
        public_folder(path.parent)
        write_public(path, data)
    return bundle


def _read(path: Path, limit: int, name: str) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise Unavailable.of(
            Reason.MODEL, f"{name!a} of the bundle", error.strerror or error
        ) from error
    if len(data) > limit:
        raise Malformed.of(Reason.MODEL, f"{name!a} of at most {limit} bytes", "more")
    return data


def _known(files: Mapping[str, bytes], recipe: Recipe) -> tuple[KnownAnswer, ...]:
    images = {n for n in files if n.startswith("known/")}
    answers = strict_json(files["known-answers.json"]) if "known-answers.json" in files else []
    known = []
    try:
        for answer in answers:
            name = str(answer["name"])
            defects: tuple[dict[str, Any], ...] = tuple(
                {
                    "kind": str(d["kind"]),
                    "score": float(d["score"]),
                    "box": [float(v) for v in d["box"]],
                }
                for d in answer["defects"]
            )
            if any(d["kind"] not in recipe.defects or len(d["box"]) != 4 for d in defects):
                raise ValueError(f"{name}: a defect of another class or shape")
            frame, golden = f"known/{name}_test.png", f"known/{name}_temp.png"
            behind = files[golden] if recipe.kind == Kind.PAIR else b""
            known.append(KnownAnswer(name, files[frame], behind, defects))
            images -= {frame, golden} if recipe.kind == Kind.PAIR else {frame}
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed.of(
            Reason.MODEL,
            "known answers as [{name, defects: [{kind, score, box}]}], each with its images",
            error,
        ) from error
    if images:
        raise Malformed.of(
            Reason.MODEL, "a known answer for every image in known/", ascii(sorted(images)[0])
        )
    return tuple(known)
