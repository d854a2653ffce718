"""Pictures of any maker in the capture child: what is no frame is refused by name, whoever claims
what.
"""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.wire import MAX_FRAME_PIXELS
from framegate_agent.camera.pictures import decoded, encoded
from framegate_agent.camera.sources import FolderSource

IMAGE = (np.arange(48 * 64).reshape(48, 64) % 251).astype(np.uint8)
BITMAP = cv2.imencode(".bmp", IMAGE)[1].tobytes()
_SIZE_AT, _SIZE_END = 18, 26
MOST = 4 * IMAGE.size
"""Pixels: nothing decodes to more than its bytes hold, or a little more where a row is padded."""


def png_claiming(width: int, height: int) -> bytes:
    """A whole PNG whose header claims this size, of a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bitmap_claiming(width: int, height: int) -> bytes:
    return BITMAP[:_SIZE_AT] + struct.pack("<ii", width, height) + BITMAP[_SIZE_END:]


def test_a_bitmap_is_a_picture():
    assert np.array_equal(decoded(BITMAP), IMAGE)


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0), (0, 64)])
def test_n103_a_few_bytes_that_claim_a_huge_picture_are_refused_by_size(size):
    with pytest.raises(Malformed) as refused:
        decoded(png_claiming(*size))
    failure = refused.value.failures[0]
    assert (
        failure.reason == Reason.IMAGE and f"at most {MAX_FRAME_PIXELS} pixels" in failure.expected
    )
    assert f"{size[0]}x{size[1]}" in failure.actual


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_n103_a_bitmap_of_any_claim_is_a_picture_or_refused(width, height):
    try:
        assert decoded(bitmap_claiming(width, height)).size <= MOST
    except Malformed as error:
        assert error.reason == Reason.IMAGE


@given(st.binary(max_size=200))
def test_bytes_that_begin_like_a_picture_are_one_or_refused(rest):
    for begins in (b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        with pytest.raises(Malformed):
            decoded(begins + rest)


def test_a_folder_goes_on_behind_what_is_no_frame(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png_claiming(60_000, 60_000))
    (tmp_path / "b.bmp").write_bytes(bitmap_claiming(60_000, 60_000))
    (tmp_path / "c.bmp").write_bytes(BITMAP[: len(BITMAP) // 2])
    (tmp_path / "d.jpg").write_bytes(encoded(IMAGE))
    assert [shot.part for shot in FolderSource(tmp_path)] == ["d"]
    said = capsys.readouterr().err
    assert all(f"'{name}' skipped: image: expected" in said for name in ("a.png", "b.bmp", "c.bmp"))
