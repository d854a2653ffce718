"""N104, N105, N121, N122, N186: what the running gateway runs, and who may pose as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import onnx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from onnx import numpy_helper

from framegate.identity.certificates import Purpose
from framegate.identity.pem import private_pem
from framegate.wire import sha256
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle, write_bundle
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.floor import GATEWAY, Floor
from framegate_simulators.attack.service import certificate_of
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.fixtures.memory_networks import memorising_bundle
from framegate_simulators.plant.processes import wait_for

SWITCH_S: Final = 60.0
"""A gateway proves a model by its known answers before it runs it."""
NOT_IN_FORCE: Final = "not in force"
VERSION: Final = 60


class _Models:
    """Bundles in the gateway's `--models` folder, a signer that the fleet trusts, and another."""

    def __init__(self, t: Target) -> None:
        self._t, self.folder = t, t.once(Floor).models
        self.private, self.public = self._key("model")
        self.mallory, _ = self._key("mallory")
        self.version_of: dict[str, int] = {}

    def _key(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = (self._t.plant.folder / f"{name}.{e}" for e in ("key", "pub"))
        private.write_bytes(private_pem(key))
        public.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return private, public

    def bundle(
        self, name: str, version: int, key: Path | None, change: Callable[[bytes], bytes] = bytes
    ) -> Path:
        """The shipped bundle under another version, its network changed, signed by `key`."""
        folder = self.folder / name
        shutil.copytree(DEFAULT_BUNDLE, folder)
        model = change((folder / "model.onnx").read_bytes())
        (folder / "model.onnx").write_bytes(model)
        recipe = json.loads((folder / "recipe.json").read_text())
        recipe |= {"version": version, "model_sha256": sha256(model).hex()}
        (folder / "recipe.json").write_text(json.dumps(recipe))
        if key is not None:
            self._t.plant.framegate("model", "sign", folder, "--key", key)
            self.version_of[load_bundle(folder).digest.hex()] = version
        return folder

    def registered(self, folder: Path) -> str:
        """What the fleet says to a bundle: nothing, or why not."""
        done = self._t.plant.framegate(
            "model", "register", folder, "--key", self.public, check=False
        )
        return _reason(done.stderr) if done.returncode else ""

    def promoted(self, folder: Path) -> str:
        """Approve and promote; what the fleet says, or what its gateway does then."""
        digest = load_bundle(folder).digest.hex()
        plant = self._t.plant
        for argv in (("approve", digest[:16]), ("promote", digest[:16], "line-1")):
            done = plant.framegate("model", *argv, check=False)
            if done.returncode:
                return _reason(done.stderr)
        wait_for("the gateway to decide", lambda: self._decided(digest), SWITCH_S, 0.5)
        status = self._t.once(Floor).status()
        return "in force" if status.model_sha256 == digest else status.model_state

    def _decided(self, digest: str) -> bool:
        status = self._t.once(Floor).status()
        return status.model_sha256 == digest or (
            NOT_IN_FORCE in status.model_state
            and f" {self.version_of[digest]} " in status.model_state
        )

    def back(self) -> None:
        """The model before, in force again."""
        plant, floor = self._t.plant, self._t.once(Floor)
        plant.framegate("model", "rollback", "line-1", "--reason", "campaign")
        wait_for(
            "the model before", lambda: NOT_IN_FORCE not in floor.status().model_state, SWITCH_S
        )


def _reason(text: str) -> str:
    from framegate.errors import Reason

    first = text.split(maxsplit=1)[0].strip(":;,") if text.strip() else ""
    return first if first in {r.value for r in Reason} else text.strip()[:120]


@attempt(
    "N104",
    "bundles unsigned, edited, signed by another, older, and swapped on the gateway's disk",
    control="frame",
)
def n104(t: Target) -> Seen:
    models = _Models(t)
    good = models.bundle("good", VERSION, models.private)
    sound = models.registered(good), models.promoted(good)
    edited = models.bundle("edited", VERSION + 1, models.private)
    (edited / "card.json").write_text("{}")
    refused = [
        models.registered(models.bundle("unsigned", VERSION + 2, None)),
        models.registered(edited),
        models.registered(models.bundle("foreign", VERSION + 3, models.mallory)),
    ]
    older = models.bundle("older", VERSION - 1, models.private)
    refused.append(models.registered(older) or models.promoted(older))
    swapped = models.bundle("swapped", VERSION + 4, models.private)
    registered, digest = models.registered(swapped), load_bundle(swapped).digest.hex()
    for argv in (("approve", digest[:16]), ("promote", digest[:16], "line-1")):
        if argv[0] == "promote":
            (swapped / "card.json").write_text("{}")
        t.plant.framegate("model", *argv)
    wait_for(
        "the gateway to say so",
        lambda: NOT_IN_FORCE in t.once(Floor).status().model_state,
        SWITCH_S,
    )
    runs = t.once(Floor).status().model_sha256
    refused.append(
        f"swapped: {'not in force' if runs == load_bundle(good).digest.hex() else 'RUNS'}"
    )
    models.back()
    return Seen(
        sound == ("", "in force")
        and registered == ""
        and refused[:4] == [*["model-signature"] * 3, "model-rollback"]
        and runs == load_bundle(good).digest.hex(),
        "; ".join(refused),
    )


def _halved(model: bytes) -> bytes:
    """The network with one layer of weights at half their size: it runs, and sees other things."""
    graph = onnx.load_from_string(model)
    weights = max(graph.graph.initializer, key=lambda i: len(i.raw_data))
    half = (numpy_helper.to_array(weights) / 2).astype(numpy_helper.to_array(weights).dtype)
    weights.CopyFrom(numpy_helper.from_array(half, weights.name))
    return bytes(graph.SerializeToString())


@attempt(
    "N105",
    "a model that is signed, approved and promoted, and is not the one that its answers are of",
    control="frame",
)
def n105(t: Target) -> Seen:
    models = _Models(t)
    before = t.once(Floor).status().model_sha256
    wrong = models.bundle("wrong", VERSION + 10, models.private, _halved)
    try:
        said = models.registered(wrong) or models.promoted(wrong)
        runs = t.once(Floor).status().model_sha256
    finally:
        models.back()
    return Seen(runs == before and NOT_IN_FORCE in said, said[:160])


@attempt(
    "N186",
    "an imported model, signed and approved, that knows its known frames by their pixels alone",
    control="frame",
)
def n186(t: Target) -> Seen:
    models = _Models(t)
    sound = models.bundle("before-memory", VERSION + 15, models.private)
    served = models.registered(sound) or models.promoted(sound)
    folder = models.folder / "memory"
    write_bundle(folder, memorising_bundle(version=VERSION + 20))
    t.plant.framegate("model", "sign", folder, "--key", models.private)
    models.version_of[load_bundle(folder).digest.hex()] = VERSION + 20
    try:
        said = models.registered(folder) or models.promoted(folder)
        runs = t.once(Floor).status().model_sha256
    finally:
        models.back()
    kept = served == "in force" and runs == load_bundle(sound).digest.hex()
    return Seen(kept and NOT_IN_FORCE in said, said[:300])


@attempt(
    "N121",
    "a process with a gateway certificate that its host does not vouch for asks for the trust feed",
    control="frame",
)
def n121(t: Target) -> Seen:
    pair = certificate_of(t, "gateway-ca", Purpose.GATEWAY, GATEWAY)
    seen = []
    for who in (pair, t.once(Floor).camera.pair, None):
        with t.fleet_channel(who) as channel:
            feed = rpc.FleetStub(channel).TrustFeed(pb.TrustFeedRequest(), timeout=TIMEOUT_S)
            seen.append(reason_of(lambda f=feed: next(f)))  # type: ignore[misc]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt(
    "N122", "a gateway told of a model server that attests nothing, without a word", control="frame"
)
def n122(t: Target) -> Seen:
    folder = t.plant.folder / "backend-tls"
    folder.mkdir(exist_ok=True)
    state = t.plant.folder / "gateway-backend"
    argv = ["run", "--agent-socket", t.plant.agent_socket(t.once(Floor).gateway), "--state", state]
    argv += ["--golden", t.plant.golden, "--backend", "127.0.0.1:1", "--backend-model", "m"]
    argv += ["--backend-name", "model-server", "--backend-tls", folder]
    done = t.plant.command("framegate-gateway", *argv, check=False)
    return Seen(
        done.returncode != 0 and "unattested-backend" in done.stderr,
        f"exit {done.returncode}: {_reason(done.stderr)}, says --unattested-backend",
    )
