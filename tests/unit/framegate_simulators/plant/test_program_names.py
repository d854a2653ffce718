"""Programs of a clone that lies in a folder with spaces in its name."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import framegate_simulators
from framegate_simulators.plant import processes

UNQUOTED = re.compile(r"exec:\{(?!SIM\}|program\})")


def test_the_simulators_program_is_one_word_wherever_the_clone_lies(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/home/jürgen/ein 'Ordner'/.venv/bin/python")
    name = runpy.run_path(processes.__file__)["SIM"]
    assert shlex.split(f"{name} camera --rate 2") == [
        "/home/jürgen/ein 'Ordner'/.venv/bin/framegate-sim",
        "camera",
        "--rate",
        "2",
    ]


def test_no_simulated_camera_is_named_by_a_bare_path():
    folder = Path(framegate_simulators.__file__).parent
    texts = {path: path.read_text() for path in folder.rglob("*.py")}
    named = [path.name for path, text in texts.items() if "exec:{" in text]
    assert len(named) > 10, "simulated cameras are looked for where they are started"
    assert not [path for path, text in texts.items() if UNQUOTED.search(text)]
