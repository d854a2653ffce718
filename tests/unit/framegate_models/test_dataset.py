"""Reading a set of labelled pairs."""

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate_models.dataset import read_annotation, read_pair, read_split
from framegate_simulators.boards.boards import CLASSES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4", "line 1"),
        ("1 2 3 4 x", "line 1"),
        ("9 2 3 4 1", "x1 < x2"),
        ("1 2 3 4 0", "class from 1 to 6"),
        ("1 2 3 4 7", "class from 1 to 6"),
        ("-1 2 3 4 1", "x1 < x2"),
    ],
)
def test_annotations_that_are_wrong_are_named(tmp_path, line, message):
    (tmp_path / "a.txt").write_text(line + "\n")
    with pytest.raises(Malformed, match=message) as caught:
        read_annotation(tmp_path / "a.txt", 6)
    assert caught.value.reason == Reason.DATA_SET


def test_annotations_with_commas_or_spaces_and_good_boards(tmp_path):
    (tmp_path / "a.txt").write_text("1,2,30,40,6\n\n5 6 7 8 1\n")
    boxes, kinds = read_annotation(tmp_path / "a.txt", 6)
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 6, 7, 8]] and kinds.tolist() == [5, 0]
    (tmp_path / "a.txt").write_text("")
    assert read_annotation(tmp_path / "a.txt", 6)[0].shape == (0, 4)


@given(st.text(max_size=80))
def test_annotations_of_any_text_raise_only_our_errors(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_text(
        text, encoding="utf-8", errors="surrogatepass"
    ) if text < "\ud800" else path.write_bytes(b"\xff")
    with contextlib.suppress(FramegateError):
        read_annotation(path, 6)


@pytest.mark.parametrize(
    "line",
    [
        "../outside.jpg 05000000.txt",
        "05000000.jpg ../../etc/passwd",
        "/etc/passwd /etc/passwd",
        "05000000.jpg",
        "a b c",
    ],
)
def test_splits_that_lead_out_or_are_wrong_are_named(training_folder, line):
    (training_folder / "bad.txt").write_text(f"05000000.jpg 05000000.txt\n{line}\n")
    with pytest.raises(Malformed, match="line 2"):
        read_split(training_folder, training_folder / "bad.txt")


def test_pairs_that_are_missing_damaged_or_of_two_sizes(training_folder):
    listed = read_split(training_folder)
    cv2.imwrite(str(training_folder / "05000001_temp.jpg"), np.zeros((64, 64), np.uint8))
    with pytest.raises(Malformed, match="one size"):
        read_pair(listed[1], CLASSES)
    raw = (training_folder / "05000002_test.jpg").read_bytes()
    (training_folder / "05000002_test.jpg").write_bytes(b"GIF89a" + raw)
    with pytest.raises(Malformed, match="05000002"):
        read_pair(listed[2], CLASSES)
    (training_folder / "05000003_test.jpg").unlink()
    with pytest.raises(Unavailable, match="05000003_test"):
        read_pair(listed[3], CLASSES)
    with pytest.raises(Unavailable):
        read_split(training_folder / "none")
