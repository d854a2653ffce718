"""Where frames come from."""

import io

import cv2
import numpy as np
import pytest

from framegate.errors import Refused, Unavailable
from framegate.wire import RECENT_FRAMES
from framegate_agent.camera.source_names import named_source
from framegate_agent.camera.sources import FolderSource, Shot, open_source, write_shots
from framegate_gateway.inference.parts import GoldenImages


def test_folder_source_reads_deeppcb_names(tmp_path):
    image = np.zeros((32, 32), np.uint8)
    for name in ("a_test.jpg", "a_temp.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "c.jpg").write_bytes(b"no image")
    assert [(s.part, s.part_type, s.image.shape[1]) for s in FolderSource(tmp_path)] == [
        ("a", "a", 32),
        ("b", "b", 32),
    ]
    golden = GoldenImages((tmp_path,))
    assert "a" in golden and golden.get("a").goldens[0] == (tmp_path / "a_temp.jpg").read_bytes()


def test_an_address_with_a_password_is_in_a_file_that_not_everybody_reads(tmp_path):
    file = tmp_path / "cam1"
    file.write_text("rtsp://user:hunter2@cam/1\n")
    file.chmod(0o640)
    assert named_source(f"address:{file}") == "rtsp://user:hunter2@cam/1"
    assert named_source("folder:boards") == "folder:boards"
    file.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        named_source(f"address:{file}")
    with pytest.raises(Unavailable, match="the address of a camera"):
        named_source(f"address:{file}x")


def test_a_password_in_an_address_is_not_shown():
    for address in ("rtsp://user:hunter2@127.0.0.1:9/1", "http://user:hunter2@cam"):
        with pytest.raises(Unavailable) as caught:
            next(iter(open_source(address, "part")))
        assert "hunter2" not in str(caught.value) and "user:***@" in str(caught.value)


def test_a_folder_is_of_the_type_that_the_line_makes(tmp_path):
    for name in ("a_test.jpg", "a_temp.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((32, 32), np.uint8))
    shots = list(open_source(f"folder:{tmp_path}", "board-7"))
    assert [(s.part, s.part_type) for s in shots] == [("a", "board-7"), ("b", "board-7")]
    assert [s.part_type for s in open_source(f"folder:{tmp_path}", "")] == ["a", "b"]


class Rounds:
    """A folder of so many pictures; whoever reads it a fourth time is stopped."""

    def __init__(self, count):
        self.count, self.rounds = count, 0

    def __iter__(self):
        self.rounds += 1
        if self.rounds > 3:
            raise EOFError
        yield from (Shot("p", "t", np.zeros((8, 8), np.uint8)) for _ in range(self.count))


@pytest.mark.parametrize("count", [1, RECENT_FRAMES, RECENT_FRAMES + 1])
def test_pictures_that_come_again_too_soon_are_said_once(count, capsys):
    with pytest.raises(EOFError):
        write_shots(Rounds(count), io.BytesIO(), rate=0, repeat=True)
    said = capsys.readouterr().err
    assert said.count("frame-frozen") == (count <= RECENT_FRAMES)
    assert f"{count} picture" in said or count > RECENT_FRAMES
