"""A frame vault and what is in it."""

import time

import cv2
import pytest

from framegate.signed.statement import Verdict
from framegate.wire import sha256
from framegate_gateway.vault.frames import FrameVault
from framegate_gateway.vault.keys import VaultKeys
from framegate_simulators.boards.boards import draw_board

CAMERA = "camera.line-1.cam1"


NOW = time.time_ns() // 1_000_000


IMAGE = cv2.imencode(".jpg", draw_board(3, design=1, defects=0).frame)[1].tobytes()


def verdict(
    identifier: str,
    image: bytes = IMAGE,
    outcome: str = "PASS",
    device: str = CAMERA,
    at_ms: int = NOW,
) -> Verdict:
    return Verdict(
        verdict_id=identifier,
        gateway="gateway.line-1.gw1",
        device=device,
        zone="line-1",
        part="p",
        part_type="t",
        trigger_sequence=1,
        outcome=outcome,
        reason="",
        defects=(),
        model_sha256="aa",
        golden_sha256="bb",
        inspected_percent=100,
        input_sha256=sha256(image).hex(),
        result_id="r",
        session="00",
        counter=0,
        issued_at_ms=at_ms,
        valid_until_ms=at_ms + 1,
    )


@pytest.fixture
def kek():
    """The key that seals the keys of a vault."""
    return b"k" * 32


@pytest.fixture
def vault(tmp_path, kek):
    """An empty vault."""
    frames = FrameVault(tmp_path / "vault", VaultKeys(tmp_path / "vault", kek))
    yield frames
    frames.close()


def written(vault) -> None:
    vault.expire(0)
