"""Programs of an earlier version beside this one's, out of its source tree: the folder into which
`git archive TAG agent controller core proto simulators` was unpacked.

What else they need is this installation's, so that nothing is fetched for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from framegate_simulators.fixtures.postgres import LocalPostgres
from framegate_simulators.plant.processes import PlantError

ALL: Final = ("agent", "controller", "core", "proto", "simulators")
MACHINES: Final = ("proto",)
"""What a simulated machine speaks with: the messages it sends and reads are of that version."""
_FOUND: Final = """
import json, sys
from pathlib import Path
from framegate_simulators.fleet.run import _found
from framegate_simulators.machine.tpm import TpmMaker
asked = json.load(sys.stdin)
eks = {int(n): ek for n, ek in asked["eks"].items()}
_found(Path(asked["state"]), TpmMaker.load_or_found(Path(asked["maker"])), eks)
"""


_ROWS: Final = """
SELECT (SELECT count(*) FROM evidence), (SELECT count(*) FROM results){new}
"""
_NEW: Final = """,
(SELECT count(*) FROM evidence WHERE log_at >= 0),
(SELECT count(*) FROM results WHERE ear_packed IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Forms:
    """Rows of evidence and of results, and how many of each have a form that version 0.1.0 does not
    read.
    """

    evidence: int
    results: int
    new_evidence: int = 0
    new_results: int = 0

    @classmethod
    def of(cls, server: LocalPostgres, database: str) -> Self:
        """Of the registry in `database`, whichever version made its schema."""
        schema = server.sql(database, "SELECT version_num FROM alembic_version")
        said = server.sql(database, _ROWS.format(new=_NEW if schema >= "0021" else ""))
        return cls(*map(int, said.split("|")))


def environment(tree: str, parts: tuple[str, ...] = ALL) -> dict[str, str] | None:
    """In which Python finds `parts` of the version in the folder `tree` before this one's; None, as
    a process inherits it, where `tree` is empty.
    """
    if not tree:
        return None
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(tree) / p) for p in parts)}


def found_by(tree: str, state: Path, maker: Path, eks: Mapping[int, str]) -> None:
    """Found the simulator's fleet in `state` with the version in `tree`. Raises PlantError."""
    asked = {"state": str(state), "maker": str(maker), "eks": eks}
    done = subprocess.run(
        [sys.executable, "-c", _FOUND],
        input=json.dumps(asked),
        env=environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PlantError(f"a fleet of {tree}: {done.stderr}"[-2000:])
