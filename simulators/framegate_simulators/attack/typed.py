"""N232 and N233: names that reach a person's shell, and a program that was started without its
standard output.
"""

from __future__ import annotations

import json
import os
import subprocess

from framegate_host.private_files import private_folder
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.plant.processes import BIN


@attempt("N232", "an export into a file whose name is a command, and what it prints next, pasted")
def n232(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "pasted")
    out = folder / f"log; touch {t.plant.folder.name}-taken; x"
    done = t.plant.framegate("audit", "export", "--out", out)
    _, _, command = done.stderr.strip().splitlines()[-1].partition("next: ")
    path = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    pasted = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=path, capture_output=True, check=False
    )
    taken = folder / f"{t.plant.folder.name}-taken"
    told = "its name was run" if taken.exists() else f"verified, exit code {pasted.returncode}"
    return Seen(not taken.exists() and pasted.returncode == 0, told)


@attempt("N233", "an export by a program whose standard output and error are closed")
def n233(t: Target) -> Seen:
    folder = private_folder(t.plant.folder / "closed")
    told = {**os.environ, "FRAMEGATE_CONTEXT": str(t.plant.context)}
    command = f'"{BIN}/framegate" audit export --out log >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=told, check=False)
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    try:
        whole = all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        whole = False
    good = done.returncode == 0 and bool(lines) and whole
    return Seen(good, f"{len(lines)} lines, {'all' if whole else 'NOT ALL'} of the log")
