"""Before something is done that cannot be done again: is there a place for what comes of it?"""

import errno
import os

import pytest

from framegate.errors import Reason
from framegate_host.private_files import (
    replacing_private,
    require_place,
    write_private,
    write_public,
)
from framegate_host.program import of_the_system


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


def _replace_bit_by_bit(path):
    with replacing_private(path) as out:
        out.write(b"new")


WRITERS = {
    "private": lambda path: write_private(path, b"new"),
    "public": lambda path: write_public(path, b"new"),
    "bit by bit": _replace_bit_by_bit,
    "asked before": require_place,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a device", "folder"])
def test_a_device_or_pipe_is_never_replaced_by_a_file(write, kind, tmp_path):
    """Root would put a file in the place of /dev/null, for every program of the machine."""
    path, pipe = tmp_path / "out", tmp_path / "pipe"
    os.mkfifo(pipe)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        path = pipe
    else:
        path.symlink_to("/dev/null" if kind == "link to a device" else pipe)
    before = path.lstat()
    with pytest.raises(OSError, match=r"directory|a device, pipe or socket") as caught:
        write(path)
    told = of_the_system(caught.value).failures[0]
    assert told.reason == Reason.USAGE and str(path) in told.actual
    assert path.lstat().st_ino == before.st_ino and path.lstat().st_mode == before.st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({path.name, "pipe"})


@pytest.mark.parametrize("write", list(WRITERS.values())[:3], ids=list(WRITERS)[:3])
def test_a_link_to_a_file_or_to_nothing_is_replaced(write, tmp_path):
    there = tmp_path / "there"
    there.write_bytes(b"old")
    for target in (there, tmp_path / "nowhere"):
        path = tmp_path / "link"
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        write(path)
        assert path.read_bytes() == b"new" and not path.is_symlink()
    assert there.read_bytes() == b"old" and not (tmp_path / "nowhere").exists()
