"""Drawn boards and their inspector."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from framegate.signed.dsse import seal_envelope
from framegate.signed.part import PartStatement
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_models.evaluate import inspector_of


def moved(image, dx: float, dy: float):
    return cv2.warpAffine(
        image,
        np.float32([[1, 0, dx], [0, 1, dy]]),
        image.shape[::-1],
        borderMode=cv2.BORDER_REPLICATE,
    )


@pytest.fixture(scope="module")
def inspector():
    """The default model as an inspector, loaded once a module."""
    return inspector_of(load_bundle(DEFAULT_BUNDLE), threads=1)


def statement(**changes) -> PartStatement:
    part = PartStatement(
        part_type="board-7",
        version=1,
        goldens=("ab" * 32,),
        thresholds=({"kind": "open", "at_least": 0.6},),
        min_size_px=3.0,
        ignore=(),
        source="lot 12",
        approved_by=("operator.anna", "operator.erik"),
        removed=0,
        issued_at_ms=0,
    )
    return replace(part, **changes)


def sealed_body(keys, purpose: str = "part", **changes) -> bytes:
    """A truly signed part with members as they are given, whatever a version knows of them; None
    takes one away.
    """
    signer = keys.signing[purpose]
    body = json.loads(statement().payload()) | changes
    payload = json.dumps({name: said for name, said in body.items() if said is not None}).encode()
    return seal_envelope(PartStatement.TYPE, payload, signer.der, signer.sign)


def sealed_part(keys, part: PartStatement, purpose: str = "part") -> bytes:
    signer = keys.signing[purpose]
    return part.seal(signer.der, signer.sign)
