"""N223: state of a user who was taken over, before whoever runs our commands on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from framegate_host.private_files import private_folder
from framegate_simulators.attack.target import Seen, Target, attempt

OTHER: Final = 4_242_424
"""A user that nobody is."""
ASKED: Final = (
    ("framegate-agent", "status"),
    ("framegate-agent", "doctor"),
    ("framegate-controller", "backup", "--out", "stolen"),
)


@attempt("N223", "links to a file of root's in another user's state, before our commands")
def n223(t: Target) -> Seen:
    victim = t.plant.folder / "victim"
    victim.write_text("root")
    victim.chmod(0o644)
    state = _theirs(t.plant.folder / "theirs", victim)
    said = []
    for program, *words in ASKED:
        done = t.plant.command(program, *words, "--state", state, check=False)
        said.append("runuser" if "runuser -u " in done.stderr else f"exit {done.returncode}")
    untouched = victim.stat().st_mode & 0o777 == 0o644 and victim.read_text() == "root"
    told = f"{said.count('runuser')} of {len(ASKED)} told to run it as its owner"
    return Seen(untouched and "exit 0" not in said, f"{told}; the file is as it was")


def _theirs(folder: Path, victim: Path) -> Path:
    """A folder of another user's, full of links; without root's rights, one of root's."""
    if os.geteuid() != 0:
        return Path("/usr")
    private_folder(folder)
    for name in ("agent.lock", "status.json", "registry.db", "vault", "receipts.db"):
        (folder / name).symlink_to(victim)
    os.chown(folder, OTHER, OTHER)
    return folder
