"""The source tree and the programs of a released version, out of this repository's history."""

import shutil
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from framegate_simulators.fleet.versions import ALL
from support.paths import ROOT


def source_of(tag, folder, *more):
    """`folder`, with that version's rooms in it, and `more` of its tree. Skips the test where its
    commit is not here: no git, or a clone of the last commits alone.
    """
    commit = _git("rev-parse", "-q", "--verify", f"{tag}^{{commit}}") or _freezing(tag)
    packed = _git("archive", commit.decode().strip(), *ALL, *more) if commit else b""
    if not packed:
        pytest.skip(f"no commit of {tag} here: a shallow clone, or no git")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    return folder


def programs_of(tag, folder):
    """The folder of that version's commands, in an environment of its own within `folder`; what
    else they need is this installation's. Skips as `source_of`.
    """
    source_of(tag, folder, "pyproject.toml", "firmware_profiles")
    home = folder / "venv"
    venv.create(home, symlinks=True)
    # its rooms come first; a path within a folder that is named here is not followed any further
    paths = [*(str(folder / room) for room in ALL), sysconfig.get_path("purelib")]
    own = sysconfig.get_path("purelib", vars={"base": str(home)})
    (Path(own) / "before.pth").write_text("\n".join(paths) + "\n")
    scripts = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["scripts"]
    for name, entry in scripts.items():
        module, _, what = entry.partition(":")
        program = home / "bin" / name
        program.write_text(
            f"#!{home}/bin/python\nimport sys\nfrom {module} import {what.partition('.')[0]}\n"
            f"sys.exit({what}())\n"
        )
        program.chmod(0o755)
    return home / "bin"


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
