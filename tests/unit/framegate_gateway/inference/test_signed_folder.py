"""A signed folder of golden images."""

import cv2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Refused
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.signed_folder import signed_files
from framegate_models.manifest import sign_folder
from framegate_simulators.boards.boards import draw_board

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


def test_a_signed_golden_folder_counts_as_it_was_signed(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    image = tmp_path / "board.png"
    image.write_bytes(cv2.imencode(".png", BOARD.golden)[1].tobytes())
    with pytest.raises(Refused):
        signed_files((tmp_path,), (key.public_key(),))
    sign_folder(tmp_path, key, "lot 12", "anna")
    golden = GoldenImages((tmp_path,), signed_files((tmp_path,), (key.public_key(),)))
    assert golden.get("board").goldens and signed_files((tmp_path,), ()) is None
    image.write_bytes(cv2.imencode(".png", BOARD.frame)[1].tobytes())
    with pytest.raises(Refused, match="as it was signed"):
        golden.get("board")
    (tmp_path / "smuggled.png").write_bytes(b"x")
    assert "smuggled" not in GoldenImages((tmp_path,), {})
