"""Signed model bundles, pins, and a gateway's models."""

import asyncio
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.signed.model import SIGNATURE_NAME, sign_model
from framegate.signed.pin import ModelPin, key_anchor
from framegate.wire import sha256
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.pinned_model import PinnedModel
from framegate_simulators.boards.camera import write_golden

KEY = ec.generate_private_key(ec.SECP256R1())


def digests(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): sha256(p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


def anchor(key=KEY) -> str:
    return key_anchor(key.public_key())


@pytest.fixture
def model_bundle(tmp_path) -> Path:
    """The default bundle, signed, in a folder of its own."""
    folder = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    (folder / SIGNATURE_NAME).write_bytes(sign_model("bundle", digests(folder), KEY))
    return folder


def pin_of(model_bundle: Path, **changes) -> ModelPin:
    bundle = load_bundle(model_bundle)
    pin = ModelPin(
        zone="line-1",
        sequence=1,
        model_sha256=bundle.digest.hex(),
        name=bundle.recipe.name,
        version=bundle.recipe.version,
        signer="key",
        anchor=anchor(),
        rollback=0,
        approved=(),
        issued_at_ms=0,
    )
    return replace(pin, **changes)


def sealed_pin(keys, pin: ModelPin, purpose: str = "model") -> bytes:
    signer = keys.signing[purpose]
    return pin.seal(signer.der, signer.sign)


class Pinned:
    """A zone's gateway without a network: models that start, and the follower of its pin."""

    def __init__(self, keys, folder: Path, golden: Path) -> None:
        self.keys, self.folder = keys, folder
        self.store = folder / "models"
        self.store.mkdir(parents=True, exist_ok=True)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((golden,)), 1)
        self.switched: list[bytes] = []
        self.events: list[str] = []
        self.pinned = PinnedModel(
            folder,
            (self.store,),
            self.models,
            self.switched.append,
            self._event,
            lambda: datetime.now(UTC),
        )

    async def _event(self, event: str, detail) -> None:
        self.events.append(f"{event} {detail.get('reason', '')}".strip())

    def apply(self, pin: ModelPin) -> None:
        self.pinned.apply(sealed_pin(self.keys, pin), "line-1", self.keys.root.certificate)


def another_version(folder: Path, version: int, *, key=KEY) -> Path:
    """The default bundle under another version, signed."""
    shutil.copytree(DEFAULT_BUNDLE, folder)
    recipe = {**json.loads((folder / "recipe.json").read_text()), "version": version}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / SIGNATURE_NAME).write_bytes(sign_model("bundle", digests(folder), key))
    return folder


@pytest.fixture
async def model_gate(keys, tmp_path):
    """A gateway whose model is pinned."""
    write_golden(tmp_path / "golden", [1])
    gate = Pinned(keys, tmp_path / "state", tmp_path / "golden")
    await gate.models.start()
    task = asyncio.create_task(gate.pinned.follow())
    yield gate
    task.cancel()
    await gate.models.stop()
