"""The source tree of a released version, out of this repository's history."""

import shutil
import subprocess

import pytest

from framegate_simulators.fleet.versions import ALL
from support.paths import ROOT


def source_of(tag, folder):
    """`folder`, with that version's rooms in it. Skips the test where its commit is not here: no
    git, or a clone of the last commits alone.
    """
    commit = _git("rev-parse", "-q", "--verify", f"{tag}^{{commit}}") or _freezing(tag)
    packed = _git("archive", commit.decode().strip(), *ALL) if commit else b""
    if not packed:
        pytest.skip(f"no commit of {tag} here: a shallow clone, or no git")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    return folder


def _freezing(tag):
    """The commit that made it, which froze its names: a clone may have no tags."""
    names = f"docs/reference/names/{tag.removeprefix('v')}.*"
    return _git("log", "--diff-filter=A", "--format=%H", "-1", "--", names)


def _git(*argv):
    """What git says; nothing where it cannot, or is not there."""
    git = shutil.which("git")
    command = [git or "git", "-C", str(ROOT), *argv]
    done = subprocess.run(command, capture_output=True, check=False) if git else None
    return b"" if done is None or done.returncode else done.stdout
