"""make setup: makes what is missing, nothing twice, no environment that runs another checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

pytestmark = pytest.mark.slow  # environments are made

SCRIPT = Path(__file__).parents[3] / "scripts/setup.sh"
PYTHON = f"""#!/bin/sh
# a Python whose environments cost nothing: it writes down what is asked of it
case "$*" in
  "-m venv .venv")
    echo "venv" >> calls; mkdir -p .venv/bin; cp "$0" .venv/bin/python; pwd -P > .venv/home
    printf '#!%s/.venv/bin/python\\n' "$(pwd -P)" > .venv/bin/framegate ;;
  "-m pip"*) echo "$*" >> calls ;;
  *"import framegate"*)
    home=$(cat .venv/home); echo "$home/.venv"; echo "$home/core/framegate/__init__.py" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""


class Checkout:
    """A checkout that has nothing but what setup reads, and a Python that installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir(parents=True)
        shutil.copy(SCRIPT, folder / "scripts/setup.sh")
        for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
            (folder / name).write_text(f"# {name}\n")
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        tools = folder / "tools"
        tools.mkdir()
        (tools / "promtool").write_text("#!/bin/sh\n")  # so that none is fetched
        (tools / "promtool").chmod(0o755)
        self.path = f"{tools}:{os.environ['PATH']}"

    def setup(
        self, *level: str, stderr: IO[str] | int = subprocess.PIPE, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "scripts/setup.sh"), *level],
            env={
                **os.environ,
                "PATH": self.path,
                "PYTHON": str(self.python),
                "SAY": "",
                **variables,
            },
            check=False,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=60,
        )

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "here")


def test_it_makes_says_what_and_what_is_next(checkout: Checkout):
    done = checkout.setup(SAY="1")
    assert done.returncode == 0 and "Next: make try" in done.stderr, done.stderr
    made, pins, own = checkout.calls()
    assert (
        made == "venv" and "--require-hashes -r requirements.txt" in pins and own.endswith("-e .")
    )
    assert "requirements-dev" not in pins


def test_as_a_part_of_another_command_it_says_what_it_made_and_no_other_next(checkout: Checkout):
    done = checkout.setup()
    assert done.returncode == 0 and "for this checkout" in done.stderr
    assert "Next" not in done.stderr


def test_packages_that_do_not_come_end_it_with_all_that_pip_said(checkout: Checkout):
    away = "no matching distribution, said pip"
    python = checkout.python.read_text().replace(
        '"-m pip"*) echo', f'"-m pip"*) echo "{away}"; exit 3; echo'
    )
    checkout.python.write_text(python)
    done = checkout.setup()
    assert done.returncode == 1 and away in done.stderr and "is the network there" in done.stderr
    assert not (checkout.folder / ".venv/framegate-setup").exists(), "the next run makes it whole"


def test_a_second_time_it_does_nothing_and_is_silent_unless_asked(checkout: Checkout):
    checkout.setup()
    checkout.calls()
    done = checkout.setup()
    assert (done.returncode, done.stderr, checkout.calls()) == (0, "", [])
    assert "for this checkout" in checkout.setup(SAY="1").stderr


def test_what_tests_need_comes_on_top_and_holds_what_running_needs(checkout: Checkout):
    checkout.setup()
    checkout.calls()
    assert checkout.setup("dev").returncode == 0
    assert any("-r requirements.txt -r requirements-dev.txt" in c for c in checkout.calls())
    assert checkout.setup().returncode == 0 and checkout.calls() == []
    assert "checks and tests" in checkout.setup(SAY="1").stderr


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "scripts/setup.sh"])
def test_what_changed_is_made_anew(checkout: Checkout, name: str):
    checkout.setup()
    checkout.calls()
    with (checkout.folder / name).open("a") as file:
        file.write("# more\n")
    checkout.setup()
    assert any("--require-hashes" in call for call in checkout.calls())


def test_an_environment_that_was_copied_runs_another_checkout(checkout: Checkout, tmp_path: Path):
    checkout.setup()
    other = Checkout(tmp_path / "there")
    shutil.copytree(checkout.folder / ".venv", other.folder / ".venv")
    done = other.setup()
    assert done.returncode == 0 and "does not run this checkout" in done.stderr
    assert other.calls()[0] == "venv"
    assert (other.folder / ".venv/home").read_text().strip() == str(other.folder)
    assert other.setup().stderr == "" and other.calls() == []


def test_an_environment_whose_python_is_gone(checkout: Checkout):
    checkout.setup()
    (checkout.folder / ".venv/bin/python").unlink()
    checkout.calls()
    assert checkout.setup().returncode == 0 and checkout.calls()[0] == "venv"


def test_a_folder_that_was_moved(checkout: Checkout, tmp_path: Path):
    checkout.setup()
    moved = tmp_path / "moved"
    checkout.folder.rename(moved)
    (moved / "calls").unlink()
    done = subprocess.run(
        [str(moved / "scripts/setup.sh")],
        env={**os.environ, "PYTHON": str(moved / "python"), "SAY": ""},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "does not run this checkout" in done.stderr


def test_no_python_and_an_unknown_level(checkout: Checkout):
    done = checkout.setup(PYTHON="/nonexistent/python3")
    assert done.returncode == 1 and "expected Python 3.11 or later" in done.stderr
    assert checkout.setup("everything").returncode == 2


def test_a_log_is_told_how_far_it_is(checkout: Checkout):
    """Where standard error is no terminal, minutes without a word look like a hang."""
    told = checkout.folder / "told"
    awaited = "until grep -q '1 of {} after' told; do sleep 0.1; done"
    installing = (
        f'echo "Collecting numpy==2"; {awaited.format("at most 2 packages fetched")};'
        ' echo "Installing collected packages: numpy";'
        " mkdir -p .venv/lib/python3/site-packages/numpy.dist-info;"
        f" {awaited.format('1 packages installed')} ;;"
    )
    slow = PYTHON.replace(">> calls ;;", f">> calls; {installing}", 1)
    assert slow != PYTHON
    checkout.python.write_text(slow)
    (checkout.folder / "requirements.txt").write_text("numpy==2\npillow==1\n")
    with told.open("w") as stderr:
        checkout.setup(EVERY_S="1", stderr=stderr)
    text = told.read_text()
    assert "framegate setup: 1 of at most 2 packages fetched after " in text, text
    assert "framegate setup: 1 of 1 packages installed after " in text, text
    assert "\r" not in text
