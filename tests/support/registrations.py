"""Models as they are registered."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.signed.model import sign_model
from framegate.signed.pin import key_anchor
from framegate.wire import sha256
from framegate_controller.rpc import models as model_rows
from framegate_controller.rpc import parts as part_rows
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def models_desk(bench):
    """The verbs on models and parts, for a caller who may everything."""
    return AllowedCaller(bench.store, bench.fleet, (*model_rows.ROWS, *part_rows.ROWS))


def registration(version=1, name="boards", key=KEY, classes=(), **changes):
    body = {"name": name, "version": version} | ({"classes": list(classes)} if classes else {})
    recipe, card = json.dumps(body).encode(), b"card"
    files = {
        "model.onnx": sha256(b"weights %d" % version),
        "recipe.json": sha256(recipe),
        "card.json": sha256(card),
    }
    fields = {
        "recipe": recipe,
        "card": card,
        "anchor": key_anchor(KEY.public_key()),
        "signature": sign_model("m", files, key),
    }
    return pb.RegisterModelRequest(
        files=[pb.FileDigest(name=n, sha256=d) for n, d in files.items()], **fields | changes
    )


def approved(models_desk, version):
    row = models_desk.ask("RegisterModel", registration(version))
    return models_desk.ask("ApproveModel", pb.ModelRequest(digest=row.digest[:12]))
