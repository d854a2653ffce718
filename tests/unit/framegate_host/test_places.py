"""Before something is done that cannot be done again: is there a place for what comes of it?"""

import errno

import pytest

from framegate_host.private_files import require_place


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    require_place(tmp_path / "new", None)
    (tmp_path / "old").write_text("x")
    require_place(tmp_path / "old")
    assert [p.name for p in tmp_path.iterdir()] == ["old"] and (tmp_path / "old").read_text() == "x"


@pytest.mark.parametrize(
    ("name", "number"),
    [("none/file", errno.ENOENT), ("file/below", errno.ENOTDIR), ("folder", errno.EISDIR)],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, name, number):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        require_place(tmp_path / "good", tmp_path / name)
    assert caught.value.errno == number and caught.value.filename == str(tmp_path / name)
