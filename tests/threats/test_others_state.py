"""N223: state that belongs to another user, who was taken over: whoever runs our commands on it,
root too, follows no link of theirs and takes nothing in it for their own.
"""

import os
from pathlib import Path

import pytest

from framegate.errors import Reason, Refused
from framegate_agent.state import StateFile
from framegate_host import private_files
from framegate_host.file_lock import hold
from framegate_host.private_files import (
    append_private,
    append_public,
    closed_folder,
    open_private,
    state_folder,
    touch_private,
)
from framegate_host.sqlite_file import open_sqlite
from support.command_walk import run

OTHER = 4_242_424
"""A user that nobody is."""


@pytest.fixture
def victim(tmp_path):
    """A file that everybody may read, outside."""
    file = tmp_path / "passwd"
    file.write_text("root")
    file.chmod(0o644)
    return file


@pytest.fixture
def theirs(tmp_path, monkeypatch, victim):
    """A folder of another user's, with links in it; as whoever the tests run as sees it, who is
    root, or is taken for somebody else here.
    """
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    for name in ("agent.lock", "registry.db", "log", "new"):
        (folder / name).symlink_to(victim if name != "new" else tmp_path / "planted")
    if os.geteuid() == 0:
        os.chown(folder, OTHER, OTHER)
    else:
        monkeypatch.setattr(private_files.os, "geteuid", lambda: OTHER)
    return folder


OPENS = {
    "lock": lambda folder: hold(folder / "agent.lock"),
    "database": lambda folder: touch_private(folder / "registry.db"),
    "sqlite": lambda folder: open_sqlite(folder / "registry.db"),
    "file": lambda folder: open_private(folder / "registry.db"),
    "log": lambda folder: append_private(folder / "log"),
    "public-log": lambda folder: append_public(folder / "log"),
    "made": lambda folder: open_private(folder / "new"),
}


@pytest.mark.parametrize("way", OPENS)
def test_n223_a_link_in_another_users_folder_is_not_followed(theirs, victim, way):
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        OPENS[way](theirs)
    assert victim.stat().st_mode & 0o777 == 0o644 and victim.read_text() == "root"
    assert not (theirs.parent / "planted").exists(), "nothing is made where it leads"


def test_n223_a_link_in_ones_own_folder_is_ones_own(tmp_path, victim):
    (tmp_path / "own").symlink_to(victim)
    os.close(append_private(tmp_path / "own"))
    os.close(open_private(tmp_path / "own"))


@pytest.mark.parametrize("ask", [state_folder, closed_folder], ids=["made", "there"])
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777, 0o1777])
def test_n223_state_of_another_user_is_refused_and_left_as_it_is(theirs, ask, mode):
    theirs.chmod(mode)
    with pytest.raises(Refused) as caught:
        ask(theirs)
    assert caught.value.reason == Reason.USAGE and "runuser -u" in str(caught.value)
    assert theirs.stat().st_mode & 0o7777 == mode


def test_n223_nor_does_an_agent_begin_on_it(theirs, victim):
    with pytest.raises(Refused):
        StateFile(theirs)
    assert victim.stat().st_mode & 0o777 == 0o644


def test_n223_ones_own_state_is_taken(tmp_path):
    folder = state_folder(tmp_path / "own")
    assert closed_folder(folder) == folder and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="root's commands on another user's state")
def test_n223_root_is_told_to_run_it_as_its_owner(theirs, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = run("framegate-agent", ["status", "--state", str(theirs)], work)
    assert done.code == 2 and f"runuser -u #{OTHER} -- " in done.err
    done = run("framegate-controller", ["backup", "--state", str(theirs), "--out", "x"], work)
    assert done.code == 2 and not Path(work / "x").exists()
