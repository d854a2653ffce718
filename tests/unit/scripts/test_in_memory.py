"""Where a run of the tests keeps its files: another run, in a container too, takes none away."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from support import in_memory
from support.paths import ROOT

HOLDS = """
import sys
from pathlib import Path
from support import in_memory
in_memory.MEMORY, in_memory.LEAST_FREE = Path(sys.argv[1]), 0
print(in_memory.folder_in_memory(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in place of /dev/shm, where nothing is too young to be taken away."""
    monkeypatch.setattr(in_memory, "MEMORY", tmp_path)
    monkeypatch.setattr(in_memory, "LEAST_FREE", 0)
    monkeypatch.setattr(in_memory, "NEW_S", -1)
    monkeypatch.delenv("TMPDIR", raising=False)
    return tmp_path


@pytest.fixture
def run(memory):
    """Another run, and its folder."""
    environment = {k: v for k, v in os.environ.items() if k != "TMPDIR"}
    environment["PYTHONPATH"] = str(ROOT / "tests")
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert other.stdin is not None and other.stdout is not None
    with other:
        yield other, Path(other.stdout.readline().strip())
        other.stdin.close()


def test_files_of_a_run_stay_while_it_runs_and_go_with_the_next_one_after(memory, run):
    other, theirs = run
    (theirs / "file").touch()
    ours = in_memory.folder_in_memory()
    assert theirs.exists() and ours not in {None, theirs} and ours.stat().st_mode & 0o777 == 0o711
    other.stdin.close()
    other.wait(60)
    in_memory._forget_runs_that_ended()
    assert not theirs.exists() and ours.exists()


def test_a_run_that_is_about_to_hold_its_folder_keeps_it(memory, monkeypatch):
    new = memory / "fg.new"
    new.mkdir()
    monkeypatch.setattr(in_memory, "NEW_S", 60)
    in_memory._forget_runs_that_ended()
    assert new.exists()
    now = time.time()
    monkeypatch.setattr(in_memory, "time", SimpleNamespace(time=lambda: now + 3600))
    in_memory._forget_runs_that_ended()
    assert not new.exists()


def test_a_run_that_has_just_ended_took_its_own_away(memory, monkeypatch):
    class Listed(type(memory)):
        def glob(self, _pattern):
            return [self / "fg.gone"]

    monkeypatch.setattr(in_memory, "MEMORY", Listed(memory))
    in_memory._forget_runs_that_ended()


def test_of_two_runs_that_begin_at_once_none_takes_away_what_the_other_made_anew(
    memory, monkeypatch
):
    left, lock = memory / "fg.0", in_memory.fcntl.flock
    left.mkdir()

    def meanwhile(descriptor, how):
        left.rename(memory / "taken away")
        left.mkdir()
        lock(descriptor, how)

    monkeypatch.setattr(in_memory.fcntl, "flock", meanwhile)
    in_memory._forget_runs_that_ended()
    assert left.exists()


def test_a_link_there_leads_to_nothing_that_is_taken_away(memory, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept")
    (memory / "fg.link").symlink_to(kept)
    in_memory._forget_runs_that_ended()
    assert kept.exists()


def test_a_name_is_short_and_where_none_is_left_the_disk_is_taken(memory, monkeypatch):
    monkeypatch.setattr(in_memory, "MOST_RUNS", 2)
    monkeypatch.setattr(in_memory, "NEW_S", 60)
    made = [in_memory.folder_in_memory() for _ in range(3)]
    assert made == [memory / "fg.0", memory / "fg.1", None]
