"""Parts of the fleet before local ones."""

from dataclasses import replace
from datetime import UTC, datetime

import cv2
import pytest

from framegate.errors import Malformed, Refused
from framegate.wire import sha256
from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.boards import draw_board
from support.boards import sealed_body, sealed_part, statement

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


def test_n226_a_part_of_a_later_version_is_none_and_the_others_go_on(keys, tmp_path):
    """Nor is it the local part of that name, nor one of before; and its version does not fall."""
    now, root = datetime.now(UTC), keys.root.certificate
    local = tmp_path / "local"
    local.mkdir()
    image = cv2.imencode(".png", BOARD.golden)[1].tobytes()
    for name in ("board-7", "board-8"):
        (local / f"{name}.png").write_bytes(image)
    parts = FleetParts(tmp_path / "golden", GoldenImages((local,)))
    named = statement(goldens=(sha256(image).hex(),))
    parts.apply([sealed_part(keys, named)], root, now)
    parts._keep(sha256(image).hex(), image)
    assert "board-7" in parts and len(parts) == 2
    later = sealed_body(keys, version=3, later=1)
    other = sealed_part(keys, replace(named, part_type="board-9"))
    for _ in range(2):  # as a snapshot says it again
        parts.apply([later, other], root, now)
        assert "board-7" not in parts and {"board-8", "board-9"} <= {
            name for name in ("board-7", "board-8", "board-9") if name in parts
        }
        assert len(parts) == 2
        for asked in (parts.get, parts.key):
            with pytest.raises(KeyError):
                asked("board-7")
    for older in (
        sealed_part(keys, replace(named, version=2)),
        sealed_body(keys, version=2, later=1),
    ):
        with pytest.raises(Refused):
            parts.apply([older], root, now)
        assert "board-7" not in parts
    parts.apply([sealed_part(keys, replace(named, version=4))], root, now)
    assert "board-7" in parts and parts.key("board-7").startswith("4 ")
    with pytest.raises(Refused):
        parts.apply([sealed_body(keys, version=3, later=1)], root, now)


def test_n226_a_later_part_that_nobody_named_before_is_not_the_local_one(keys, tmp_path):
    (tmp_path / "board-7.png").write_bytes(cv2.imencode(".png", BOARD.golden)[1].tobytes())
    parts = FleetParts(tmp_path / "golden", GoldenImages((tmp_path,)))
    assert "board-7" in parts
    now, root = datetime.now(UTC), keys.root.certificate
    parts.apply([sealed_body(keys, later=1)], root, now)
    assert "board-7" not in parts and len(parts) == 0
    with pytest.raises(Malformed):
        parts.apply([sealed_body(keys, source=None)], root, now)
