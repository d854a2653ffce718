"""Parts of the fleet before local ones."""

from dataclasses import replace
from datetime import UTC, datetime

import cv2
import pytest

from framegate.errors import Refused
from framegate.wire import sha256
from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.boards import draw_board
from support.boards import sealed_part, statement

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


def test_parts_of_the_fleet_come_before_local_ones_and_removal_is_final(keys, tmp_path):
    now, root = datetime.now(UTC), keys.root.certificate
    local = tmp_path / "local"
    local.mkdir()
    image = cv2.imencode(".png", BOARD.golden)[1].tobytes()
    (local / "board-7.png").write_bytes(image)
    parts = FleetParts(tmp_path / "golden", GoldenImages((local,)))
    assert "board-7" in parts and parts.get("board-7").thresholds == {} and len(parts) == 1
    named = statement(goldens=(sha256(image).hex(),))
    parts.apply([sealed_part(keys, named)], root, now)
    assert "board-7" not in parts, "its golden image is not here yet"
    with pytest.raises(KeyError):
        parts.get("board-7")
    parts._keep(sha256(image).hex(), image)
    assert parts.get("board-7").thresholds == {"open": 0.6} and parts.key("board-7").startswith(
        "1 "
    )
    with pytest.raises(Refused):
        parts.apply(
            [sealed_part(keys, replace(named, version=3)), sealed_part(keys, named)], root, now
        )
    parts.apply([sealed_part(keys, replace(named, version=4, removed=1))], root, now)
    assert "board-7" not in parts and len(parts) == 0
