"""The source tree of a released version, out of this repository's history."""

import shutil
import subprocess

import pytest

from framegate_simulators.fleet.versions import ALL
from support.paths import ROOT


def source_of(tag, folder):
    """`folder`, with that version's rooms in it. Skips the test where there is no such tag."""
    git = shutil.which("git")
    command = ["git", "-C", str(ROOT), "archive", tag, *ALL]
    packed = subprocess.run(command, capture_output=True, check=False) if git else None
    if packed is None or packed.returncode:
        pytest.skip(f"no tag {tag} here: a clone without tags, or no git")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder
