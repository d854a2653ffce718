"""What the lab does on the machine: commands, units, what the kernel says of them."""

import os
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
LAB = Path("/run/lab")
seen: dict[str, object] = {}
"""What came, by name: all that the lab gives."""


def run(*argv, check=True, user="", env=None):
    given = [str(a) for a in argv]
    if user:
        given = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *given]
    done = subprocess.run(
        given,
        check=False,
        capture_output=True,
        text=True,
        cwd=LAB,
        env={**os.environ, **(env or {})},
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(given)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def framegate(*argv):
    """Once: a service that systemd calls started answers at once."""
    return run("framegate", *argv, env={"FRAMEGATE_CONTEXT": "/run/lab/op.json"})


def show(unit, *names):
    told = run("systemctl", "show", f"framegate-{unit}", *(f"-p{n}" for n in names)).stdout
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def journal(unit):
    return run("journalctl", "-o", "cat", "--no-pager", "-u", f"framegate-{unit}").stdout


def wait(what, done, seconds=240.0):
    """Until `done` gives something; what is said where it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := done():
            return answer
        time.sleep(0.1)
    raise TimeoutError(what)


def confined(unit):
    """What the kernel says of the main process."""
    pid = show(unit, "MainPID")["MainPID"]
    status = Path(f"/proc/{pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {n: lines[n] for n in ("Seccomp", "CapEff", "CapBnd", "NoNewPrivs", "Uid")}
