"""The wheel, installed by pip into an environment of its own: without an extra it is the operators'
command line, and every other program says which extra it lacks; with its extra each program runs.
"""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from framegate_host.programs import OPERATOR, PROGRAMS
from support.paths import ROOT

pytestmark = [pytest.mark.alone, pytest.mark.slow]
PLAIN = {"framegate", "framegate-segment"}
"""What needs no extra."""
WORK = {"framegate-models": ("learn", "--good", ".", "--out", "new")}
"""What asks for the extra where a program's help does without it."""
EXTRAS = {"line": "framegate-line", "console": "framegate-console"}
"""Extras that are small enough to be fetched in a test, and what each makes run."""


def pip(python: Path, *argv: object) -> None:
    words = [str(python), "-m", "pip", "-q", "--disable-pip-version-check", *map(str, argv)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode and ("Connection" in done.stderr or "No matching" in done.stderr):
        pytest.skip(f"no package index answers: {done.stderr.strip().splitlines()[-1][:120]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of the commands that a plain install brings."""
    folder = tmp_path_factory.mktemp("plain")
    pip(
        Path(sys.executable),
        *("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT),
    )
    (wheel,) = folder.glob("framegate-*.whl")
    venv.create(folder / "v", with_pip=True)
    pip(folder / "v/bin/python", "install", wheel)
    return folder / "v/bin"


def run(folder: Path, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "80"}
    return subprocess.run(
        [str(folder / program), *argv],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )


def test_a_plain_install_is_the_operators_command_line(installed):
    assert run(installed, "framegate", "--version").stdout.startswith("framegate 0.")
    shown = run(installed, "framegate", "--help")
    assert shown.returncode == 0 and "camera" in shown.stdout
    log = installed / "sums"
    log.write_text("00" * 32 + "  /x\n")
    seen = run(installed, "framegate", "evidence", "show", str(log))
    assert seen.returncode == 0 and "checksums of files" in seen.stderr
    alone = run(installed, "framegate", "camera", "list")
    assert alone.returncode == 7 and "FRAMEGATE_CONTEXT" in alone.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_every_program_runs_or_says_which_extra_it_lacks(installed, program):
    done = run(installed, program.name, *WORK.get(program.name, ("--help",)))
    assert "Traceback" not in done.stderr
    if program.name in PLAIN:
        assert done.returncode == 0 and "Usage" in done.stdout
    else:
        assert done.returncode == 7 and not done.stdout
        assert f"pip install 'framegate[{program.extra}]'" in done.stderr
    assert program is not OPERATOR or done.returncode == 0


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_all_that_its_program_needs(installed, extra):
    (wheel,) = installed.parents[1].glob("framegate-*.whl")
    pip(installed / "python", "install", f"{wheel}[{extra}]")
    done = run(installed, EXTRAS[extra], "--help")
    assert done.returncode == 0 and "Usage" in done.stdout, done.stderr
